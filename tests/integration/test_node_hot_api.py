"""What the running Xray answers, pinned for this version: texts, traps and descriptors."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.integration.node_fixtures import free_port
from tests.unit.xray_api.templates import INBOUND, REALITY, template
from xray_api.node.api_socket import fresh_socket
from xray_api.node.changes import RunningUser, Wish, correct
from xray_api.node.config import read_template, render
from xray_api.node.hot_api import HotApi, HotApiError, XrayAway, target
from xray_api.node.links import differences
from xray_api.node.process import ChildEngine, XrayProcess
from xray_api.node.template import VISION, Template
from xray_api.proto import (
    core_pb2,
    handler_pb2,
    internet_pb2,
    net_pb2,
    proxyman_pb2,
    reality_pb2,
    serial_pb2,
    stats_pb2,
    user_pb2,
    vless_pb2,
)
from xray_api.proto.handler_pb2_grpc import HandlerServiceStub

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        core_pb2,
        handler_pb2,
        internet_pb2,
        net_pb2,
        proxyman_pb2,
        reality_pb2,
        serial_pb2,
        stats_pb2,
        user_pb2,
        vless_pb2,
    )
]
USER, OTHER = uuid4(), uuid4()


@pytest.fixture
def linked() -> Template:
    """The template of the Xray under test; nobody answers at its camouflage target."""
    changes = [
        ((*INBOUND, "listen"), "127.0.0.1"),
        ((*INBOUND, "port"), free_port()),
        ((*REALITY, "dest"), f"127.0.0.1:{free_port()}"),
    ]
    return read_template(template(*changes), allow_private_targets=False)


@pytest.fixture
async def socket(linked: Template, tmp_path: Path) -> AsyncIterator[Path]:
    """The API's socket of a running Xray, which has one user."""
    api_socket = fresh_socket(tmp_path)
    config = render(linked, [OTHER], api_socket=api_socket, allow_private_targets=False)
    config["api"]["services"].append("ReflectionService")
    xray = await XrayProcess.start(ChildEngine(), config)
    yield api_socket
    await xray.stop()


@pytest.fixture
async def hot(socket: Path) -> AsyncIterator[HotApi]:
    api = HotApi(socket, "vless", VISION)
    await api.uptime(30)
    yield api
    await api.close()


def user(uuid: UUID, email: str | None = None) -> RunningUser:
    return RunningUser(email or str(uuid), str(uuid), VISION)


async def add_by_hand(socket: Path, email: str, uuid: str, flow: str = VISION) -> None:
    """What somebody else may do to Xray."""
    account = vless_pb2.Account(id=uuid, flow=flow)
    typed = serial_pb2.TypedMessage(
        type="xray.proxy.vless.Account", value=account.SerializeToString()
    )
    operation = handler_pb2.AddUserOperation(user=user_pb2.User(email=email, account=typed))
    request = handler_pb2.AlterInboundRequest(
        tag="vless",
        operation=serial_pb2.TypedMessage(
            type="xray.app.proxyman.command.AddUserOperation", value=operation.SerializeToString()
        ),
    )
    async with grpc.aio.insecure_channel(target(socket)) as channel:
        await HandlerServiceStub(channel).AlterInbound(request, timeout=10)


async def test_a_user_is_added_once_and_removed_once(hot: HotApi) -> None:
    assert await hot.add(USER)
    assert not await hot.add(USER)
    assert sorted(u.email for u in await hot.users()) == sorted([str(USER), str(OTHER)])
    assert await hot.count() == 2
    assert await hot.remove(str(USER))
    assert not await hot.remove(str(USER))
    assert await hot.users() == [user(OTHER)]


@pytest.mark.parametrize("odd", [(str(OTHER), VISION), (str(USER), "")], ids=["id", "flow"])
async def test_a_known_email_with_another_account_is_replaced(
    hot: HotApi, socket: Path, odd: tuple[str, str]
) -> None:
    """Xray says only "exists" and keeps the old account."""
    await add_by_hand(socket, str(USER), *odd)

    assert await hot.add(USER)

    assert user(USER) in await hot.users()


async def test_emails_are_compared_without_case(hot: HotApi, socket: Path) -> None:
    await add_by_hand(socket, str(USER).upper(), str(USER))

    assert not await hot.add(USER)
    assert await hot.remove(str(USER))


async def test_a_shadowed_user_is_found_and_served_again(hot: HotApi, socket: Path) -> None:
    """Two e-mails share a uuid: the list shows both, and removing one shuts out both."""
    await add_by_hand(socket, "shadow", str(OTHER))
    listed = await hot.users()

    correction = correct({OTHER: Wish(1, present=True)}, listed, VISION)

    assert set(correction.remove) == {"shadow", str(OTHER)}
    assert correction.add == (OTHER,)


async def test_another_refusal_is_an_error(socket: Path) -> None:
    api = HotApi(socket, "nope", VISION)

    for call in (api.add(USER), api.remove(str(USER)), api.users(), api.count()):
        with pytest.raises(HotApiError, match="handler not found: nope"):
            await call

    await api.close()


async def test_the_running_inbound_is_the_linked_one(hot: HotApi, linked: Template) -> None:
    running = await hot.inbounds()

    assert differences(linked, running) == []
    assert linked.inbound.stream_settings.reality_settings.private_key not in repr(running)


async def test_a_dead_xray_is_away(tmp_path: Path) -> None:
    api = HotApi(tmp_path / "none", "vless", VISION)

    with pytest.raises(XrayAway):
        await api.count()
    await api.close()
    with pytest.raises(XrayAway):
        await api.count()


@pytest.fixture
def running_pool(socket: Path) -> Iterator[DescriptorPool]:
    """The running Xray's own descriptors, apart from ours."""
    with grpc.insecure_channel(target(socket)) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        yield DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


def fields(message: Descriptor) -> dict[str, tuple[object, ...]]:
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.message_type.full_name if field.message_type else None,
        )
        for field in message.fields
    }


def test_our_messages_and_calls_are_those_of_the_running_xray(
    running_pool: DescriptorPool,
) -> None:
    messages = [message for file in FILES for message in file.message_types_by_name.values()]
    for message in messages:
        theirs = fields(running_pool.FindMessageTypeByName(message.full_name))
        ours = fields(message)
        assert ours == {name: theirs.get(name) for name in ours}, message.full_name

    methods = [
        method
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
    ]
    for method in methods:
        their_method = running_pool.FindMethodByName(method.full_name)
        assert their_method.input_type.full_name == method.input_type.full_name
        assert their_method.output_type.full_name == method.output_type.full_name

    assert (len(messages), len(methods)) == (30, 8)
