"""An orderly stop does not wait for ever; what it leaves behind is done by the next start."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.routers.user import start
from bot.sandbox import Message
from storage.links import LinkCipher
from supervisors import run
from tests.e2e.control import until
from tests.integration.actors.live import Stage, staged
from tests.integration.database_fixtures import Rows

WAITING = "SELECT count(*) FROM inbox WHERE done_at IS NULL AND quarantined_at IS NULL"
#: Far above the deadline that the tests set, below all others: a node's, an actor's, a policy's.
IN_TIME_S = 20.0


@pytest.fixture
async def stage(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
) -> AsyncIterator[Stage]:
    """Parts may take two minutes to stop: only the deadline of the whole can end what hangs."""
    patient = {"shutdown_s": 120}
    async with staged(
        tmp_path, database_url, rows, cipher, door=patient, provisioners=patient
    ) as made:
        yield made


def has_card(message: Message) -> bool:
    return any((button.data or "").startswith("go:plans") for button in message.buttons)


def hang_once(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The next card is never shown; the event says that it was to be."""
    begun, real = asyncio.Event(), start._show_card

    async def show(*args: Any, **named: Any) -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        await real(*args, **named)

    monkeypatch.setattr(start, "_show_card", show)
    return begun


async def test_what_hangs_is_cut_off_at_the_deadline_and_what_waits_behind_it_is_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "DRAIN_DEADLINE_S", 0.5)
    first = hang_once(monkeypatch)
    async with stage.life() as life:
        await stage.anna.say("/start")
        await asyncio.wait_for(first.wait(), IN_TIME_S)
        await stage.anna.say("/start")
        await stage.anna.say("/help")
        await stage.until_true("SELECT count(*) = 3 FROM inbox")

        async def acknowledged() -> bool:
            return stage.sandbox.pending_updates == 0

        await until(acknowledged)
        async with asyncio.timeout(IN_TIME_S):
            assert await stage.end(life) == run.DONE

    assert await stage.rows.fetchval(WAITING) == 3
    assert not any(has_card(message) for message in stage.anna.messages)
    async with stage.life():
        await stage.until_true(f"SELECT ({WAITING}) = 0")
    assert sum(has_card(message) for message in stage.anna.messages) == 2


async def test_a_call_to_a_node_that_hangs_is_cut_off_and_made_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "DRAIN_DEADLINE_S", 0.5)
    async with stage.life() as life:
        invoice = await stage.invoice(stage.anna)
        stage.node.hold_calls()
        await stage.pay(stage.anna, invoice)

        async def called() -> bool:
            return any(call.kind == "put" for call in stage.node.calls)

        await until(called)
        async with asyncio.timeout(IN_TIME_S):
            assert await stage.end(life) == run.DONE

    assert stage.anna.link is None
    stage.node.release_calls()
    async with stage.life():
        await stage.assert_bought_once(stage.anna)


async def test_work_in_hand_is_finished_when_there_is_time(stage: Stage) -> None:
    """The stop waits for it, and for what follows from it."""
    async with stage.life() as life:
        invoice = await stage.invoice(stage.anna)
        stage.node.hold_calls()
        await stage.pay(stage.anna, invoice)

        async def called() -> bool:
            return any(call.kind == "put" for call in stage.node.calls)

        await until(called)
        ending = asyncio.create_task(stage.end(life))

        async def door_is_shut() -> bool:
            return "intake" not in await stage.control.tree()

        await until(door_is_shut)
        assert not ending.done()
        stage.node.release_calls()
        assert await ending == run.DONE

    found = await stage.rows.fetchrow("SELECT status, pending_s FROM subscriptions")
    assert tuple(found) == ("active", 0)
