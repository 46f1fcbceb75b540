"""Each fault of a node ends in exactly the right set of users, by real connection attempts."""

import os
import random
import resource
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.scene import Scene, add_past_the_service, first_seed, scene
from tests.integration.node_fixtures import eventually
from xray_api.client.errors import NodeUnavailable, RetriableError
from xray_api.node.run import STORE_FILE


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path / "node") as made:
        await made.work(first_seed())
        await made.check("before any fault")
        yield made


async def test_a_foreign_user_is_shut_out(node: Scene) -> None:
    async with node.xray_api() as hot:
        (stranger,) = set(node.doors.doors) - {user.uuid for user in node.users}
        await add_past_the_service(hot, "foreign", stranger)
        assert await node.let_in() == node.right | {stranger}

        await eventually(node.is_ready)

    await node.check("a foreign user was added")


@pytest.mark.parametrize("removed_before_it_is_seen", [True, False])
async def test_a_removed_user_stays_out_under_a_second_email_too(
    node: Scene, *, removed_before_it_is_seen: bool
) -> None:
    user = next(user for user in node.users if user.present)
    async with node.xray_api() as hot:
        await add_past_the_service(hot, "shadow", user.uuid)
        if not removed_before_it_is_seen:
            await eventually(node.is_ready)
            await node.check("one uuid stood under two e-mails")
        user.gen, user.present = user.gen + 1, False
        await node.client.remove(user.uuid, user.gen, node.epoch)

        await eventually(node.is_ready)

    await node.check("a user with two e-mails was removed")


@pytest.mark.deep  # a hung Xray gets some seconds to answer
async def test_a_hung_xray_is_started_again(node: Scene) -> None:
    hung = node.machine.xray
    os.kill(hung, signal.SIGSTOP)
    user = node.users[0]
    user.gen, user.present, user.confirmed = user.gen + 1, not user.present, False

    with pytest.raises(RetriableError):
        await (node.client.put if user.present else node.client.remove)(
            user.uuid, user.gen, node.epoch
        )
    assert not await node.is_ready()
    await eventually(node.is_ready)

    assert node.machine.xray != hung
    await node.work(first_seed())
    await node.check("Xray was stopped")


async def test_a_full_disk_changes_nobody_and_is_over_when_there_is_room(node: Scene) -> None:
    pid = node.machine.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    for user in node.users:
        call = node.client.remove if user.present else node.client.put
        with pytest.raises(NodeUnavailable):
            await call(user.uuid, user.gen + 1, node.epoch)
    assert not await node.is_ready()
    assert await node.let_in() == node.right

    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    await eventually(node.is_ready)

    await node.check("the disk was full")
    await node.work(first_seed())
    await node.check("the disk was full, and is no more")


def garble(file: Path, source: random.Random) -> str:
    """Cut a file at a random byte, or fill some with others; what was done."""
    content = bytearray(file.read_bytes())
    if source.random() < 0.5:
        at = source.randrange(len(content))
        file.write_bytes(content[:at])
        return f"{file.name} was cut at {at} of {len(content)}"
    places = [source.randrange(len(content)) for _ in range(source.randint(1, 200))]
    for place in places:
        content[place] ^= source.randint(1, 255)
    file.write_bytes(content)
    return f"{file.name} was garbled in {len(places)} bytes"


def note_damage(state: Path, source: random.Random, done: list[str]) -> None:
    """Damage one of the store's files, and note what was done."""
    files = [state / f"{STORE_FILE}{suffix}" for suffix in ("", "-wal")]
    done.append(garble(source.choice([file for file in files if file.stat().st_size]), source))


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(20, marks=pytest.mark.deep)], ids=["quick", "many"]
)
async def test_a_damaged_store_is_driven_again_by_its_new_epoch(node: Scene, rounds: int) -> None:
    seed = first_seed()
    state = node.files.settings().node.state_dir
    for number in range(rounds):
        source = random.Random(seed + number)  # noqa: S311 - repeatable
        load = await node.work(seed + number)
        done: list[str] = []
        await node.machine.kill("both", partial(note_damage, state, source, done))
        story = f"{done[0]}, seed {seed + number}"
        epoch = (await node.client.ready()).epoch
        assert await node.let_in() <= {user.uuid for user in node.users}, story
        if epoch == node.epoch:
            await node.check(f"{story}, and it was not noticed")
        node.epoch = load.epoch = epoch
        for user in node.users:
            user.confirmed = user.gen == 0  # of whom nothing was ever wished
        await load.settle()
        await node.check(story)
