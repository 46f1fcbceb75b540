"""The fake fails on command, and as the real node fails."""

import asyncio
from uuid import uuid4

import pytest

from xray_api.client.errors import (
    EpochChanged,
    NodeUnavailable,
    NodeUnreachable,
    OutcomeUnknown,
    WrongUserAnswered,
)
from xray_api.client.fake import FakeNodeClient

USER = uuid4()


@pytest.fixture
def node() -> FakeNodeClient:
    return FakeNodeClient()


async def test_a_refused_connection_reaches_nothing(node: FakeNodeClient) -> None:
    node.refuse_connections()
    with pytest.raises(NodeUnreachable):
        await node.put(USER, 1, node.epoch)
    assert node.calls == []

    node.accept_connections()
    assert (await node.put(USER, 1, node.epoch)).created


async def test_a_lost_reply_follows_an_applied_change(node: FakeNodeClient) -> None:
    node.drop_next_reply_after_applying()

    with pytest.raises(OutcomeUnknown):
        await node.put(USER, 1, node.epoch)

    assert node.running == {USER}
    assert (await node.put(USER, 1, node.epoch)).created is False


async def test_an_answer_about_another_user(node: FakeNodeClient) -> None:
    node.answer_for_another_user_next()

    with pytest.raises(WrongUserAnswered):
        await node.put(USER, 1, node.epoch)


async def test_scripted_failures_come_in_order_and_change_nothing(node: FakeNodeClient) -> None:
    node.fail_next(NodeUnavailable("later", retry_after=3), times=2)

    for _ in range(2):
        with pytest.raises(NodeUnavailable):
            await node.put(USER, 1, node.epoch)
        assert node.running == set()
    assert (await node.put(USER, 1, node.epoch)).created
    assert [call.kind for call in node.calls] == ["put"] * 3


async def test_a_stopped_xray_refuses_changes_and_comes_back_filled(node: FakeNodeClient) -> None:
    await node.put(USER, 1, node.epoch)
    node.stop_xray()

    for call in (node.put(uuid4(), 1, node.epoch), node.list_users()):
        with pytest.raises(NodeUnavailable):
            await call
    readiness = await node.ready()
    assert (readiness.ready, readiness.users.desired, readiness.users.applied) == (False, 1, 0)

    node.start_xray()
    assert [user.uuid for user in (await node.list_users()).users] == [USER]


async def test_a_wiped_node_has_another_epoch_and_no_users(node: FakeNodeClient) -> None:
    before = node.epoch
    await node.put(USER, 1, before)

    after = node.wipe()

    with pytest.raises(EpochChanged) as changed:
        await node.put(USER, 1, before)
    assert changed.value.epoch == after != before
    assert (await node.put(USER, 1, after)).created


async def test_a_stranger_is_listed_with_generation_0(node: FakeNodeClient) -> None:
    node.add_stranger(USER)

    assert [(u.uuid, u.gen) for u in (await node.list_users()).users] == [(USER, 0)]


async def test_held_calls_wait_until_released(node: FakeNodeClient) -> None:
    node.hold_calls()
    call = asyncio.create_task(node.put(USER, 1, node.epoch))
    while not node.calls:
        await asyncio.wait({call}, timeout=0.01)
    assert node.running == set()

    node.release_calls()

    assert (await call).created


async def test_a_held_call_ends_at_its_deadline(node: FakeNodeClient) -> None:
    node.hold_calls()

    with pytest.raises(OutcomeUnknown):
        await node.put(USER, 1, node.epoch, deadline_s=0.01)


async def test_the_link_holds_the_user(node: FakeNodeClient) -> None:
    assert node.link(USER).startswith(f"vless://{USER}@node.example.com:443?")
