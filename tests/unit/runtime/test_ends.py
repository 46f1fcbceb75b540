"""No actor ends without its supervisor hearing of it, and nobody who waits is forgotten."""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import pytest
import structlog

from actors.runtime.messages import RestartDue
from actors.runtime.replies import ActorFailed
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, Puppet, Stage, Work, fail, failing, nothing


async def hang(_: Puppet) -> None:
    """Work without an end."""
    await asyncio.Event().wait()


def spawning(work: Work[None]) -> Work[None]:
    """Work that starts other work beside the messages."""

    async def start(actor: Puppet) -> None:
        async def beside() -> None:
            await work(actor)

        actor.spawn(beside(), "beside")

    return start


def failing_when_cancelled(error: Exception) -> Work[None]:
    """Work that hangs and, cancelled, makes a mistake on its way out."""

    async def work(_: Puppet) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    return work


async def test_an_orderly_end_has_no_error(stage: Stage) -> None:
    actor = Puppet()
    stage.play(actor)

    actor.stop()

    await until(lambda: stage.endings)
    assert stage.endings[0].error is None
    assert stage.endings[0].during == "finish"


async def test_an_error_in_prepare_reaches_the_supervisor(stage: Stage) -> None:
    actor = Puppet(prepare=fail)
    stage.play(actor)

    await actor.started  # its siblings do not wait for ever

    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, Bug)
    assert stage.endings[0].during == "prepare"


async def test_a_prepare_that_swallows_its_kill_is_the_actors_last_word(stage: Stage) -> None:
    gate = Gate()

    async def swallow(_: Puppet) -> None:
        with suppress(asyncio.CancelledError):
            await gate()

    actor = Puppet(prepare=swallow)
    address = stage.play(actor)
    address.tell(Note("waits"))
    await gate.reached.wait()

    actor.kill(Bug("too long"))

    await until(lambda: stage.endings)
    assert str(stage.endings[0].error) == "too long"
    assert stage.endings[0].during == "prepare"
    assert actor.seen == []


async def test_an_error_in_finish_reaches_the_supervisor(stage: Stage) -> None:
    actor = Puppet(finish=fail)
    stage.play(actor)

    actor.stop()

    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, Bug)
    assert stage.endings[0].during == "finish"


async def test_an_error_in_abandon_reaches_the_supervisor_with_the_one_before(
    stage: Stage,
) -> None:
    second = Bug("second")
    stage.play(Puppet(abandon=failing(second))).tell(Do(failing(Bug("first"))))

    await until(lambda: stage.endings)
    assert stage.endings[0].error is second
    assert str(second.__context__) == "first"


async def test_abandon_lets_go_after_an_error_and_only_then(stage: Stage) -> None:
    let_go: list[str] = []

    async def abandon(actor: Puppet) -> None:
        let_go.append(actor.name)

    stage.play(Puppet(abandon=abandon), "failed").tell(Do(fail))
    well = Puppet(abandon=abandon)
    stage.play(well, "well")
    well.stop()

    await until(lambda: len(stage.endings) == 2)
    assert let_go == ["failed"]


async def test_an_error_in_spawned_work_reaches_the_supervisor(stage: Stage) -> None:
    stage.play(Puppet(prepare=spawning(fail)))

    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, Bug)
    assert stage.endings[0].during == "spawned work"


async def test_an_error_in_spawned_work_ends_the_message_in_hand(stage: Stage) -> None:
    gate = Gate()

    async def fail_later(_: Puppet) -> None:
        await gate()
        raise Bug

    address = stage.play(Puppet(prepare=spawning(fail_later)))
    asked = asyncio.ensure_future(address.ask(Do(hang)))
    await gate.reached.wait()
    await turn()

    gate.open.set()

    with pytest.raises(ActorFailed):
        await asked
    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, Bug)


async def test_an_error_of_spawned_work_on_its_way_out_of_an_orderly_end_is_heard(
    stage: Stage,
) -> None:
    actor = Puppet(prepare=spawning(failing_when_cancelled(Bug("late"))))
    address = stage.play(actor)
    await address.ask(Do(nothing))

    actor.stop()

    await until(lambda: stage.endings)
    assert str(stage.endings[0].error) == "late"


async def test_a_crash_is_heard_although_spawned_work_fails_on_its_way_out(
    stage: Stage,
) -> None:
    address = stage.play(Puppet(prepare=spawning(failing_when_cancelled(Bug("late")))))
    await address.ask(Do(nothing))

    with structlog.testing.capture_logs() as logs:
        address.tell(Do(failing(Bug("first"))))
        await until(lambda: stage.endings)

    assert str(stage.endings[0].error) == "first"
    failed = [log for log in logs if log["event"] == "spawned_work_failed"]
    assert [str(log["exc_info"]) for log in failed] == ["late"]


async def test_spawned_work_ends_with_its_actor(stage: Stage) -> None:
    ended = asyncio.Event()

    async def work(_: Puppet) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    actor = Puppet(prepare=spawning(work))
    address = stage.play(actor)
    await address.ask(Do(nothing))

    actor.stop()
    await actor.wait_ended()

    assert ended.is_set()


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_work_that_spawned_work_spawns_on_its_way_out_ends_too(
    stage: Stage, kill: bool
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def work(actor: Puppet) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.append(actor.spawn(hang(actor), "last words"))

    actor = Puppet(prepare=spawning(work))
    address = stage.play(actor)
    await address.ask(Do(nothing))

    (actor.kill if kill else actor.stop)()
    await actor.wait_ended()

    assert [task.cancelled() for task in tasks] == [True]


async def test_work_that_swallows_its_cancellation_does_not_keep_the_end_from_the_supervisor(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in virtual time: it is the loop that is waited for."""
    monkeypatch.setattr("actors.runtime.actor.CANCEL_AGAIN_S", 0.01)

    async def work(actor: Puppet) -> None:
        with suppress(asyncio.CancelledError):
            await hang(actor)
        await hang(actor)

    address = stage.play(Puppet(prepare=spawning(work)))
    await address.ask(Do(nothing))

    with pytest.raises(ActorFailed):
        await address.ask(Do(failing(Bug("first"))))

    await until(lambda: stage.endings)
    assert str(stage.endings[0].error) == "first"


async def test_cancelling_spawned_work_is_no_error(stage: Stage) -> None:
    async def spawn_and_cancel(actor: Puppet) -> None:
        task = actor.spawn(hang(actor), "unwanted")
        task.cancel()
        await asyncio.wait([task])

    address = stage.play(Puppet())
    await address.ask(Do(spawn_and_cancel))

    assert await address.ask(Note("still here")) == 1


async def test_a_killed_actor_tells_its_asker_and_its_supervisor(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet()
    asked = asyncio.ensure_future(stage.play(actor).ask(Do(gate)))
    await gate.reached.wait()

    actor.kill()

    with pytest.raises(ActorFailed):
        await asked
    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, asyncio.CancelledError)
    assert stage.endings[0].during == "Do"


async def test_a_kill_ends_this_actor_only_and_what_waits_passes_on(stage: Stage) -> None:
    seen: list[str] = []
    gate = Gate()
    killed, mailbox = Puppet(seen), stage.mailbox()
    address = stage.address(mailbox)
    stage.enter(killed, mailbox)
    other = stage.play(Puppet(), "other")
    address.tell(Do(gate))
    await gate.reached.wait()
    answers = [asyncio.ensure_future(address.ask(Note(text))) for text in "ab"]
    await turn()

    killed.kill()
    await killed.wait_ended()
    stage.enter(Puppet(seen), mailbox)

    assert await asyncio.gather(*answers) == [1, 2]
    assert await other.ask(Note("well")) == 1


async def test_a_kill_between_a_message_and_its_handling_loses_nothing(stage: Stage) -> None:
    killed, mailbox = Puppet(), stage.mailbox()
    stage.enter(killed, mailbox)
    await killed.started
    await turn()  # it waits for a message now

    asked = asyncio.ensure_future(stage.address(mailbox).ask(Note("saved")))
    await turn()  # the message is in, and the reader is awake but has not run
    killed.kill()
    await killed.wait_ended()
    successor = Puppet()
    stage.enter(successor, mailbox)

    assert await asked == 1
    assert killed.seen + successor.seen == ["saved"]


async def test_a_handler_that_is_cancelled_from_inside_ends_its_actor_alone(stage: Stage) -> None:
    address = stage.play(Puppet())

    with pytest.raises(ActorFailed):
        await address.ask(Do(failing(asyncio.CancelledError())))

    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, asyncio.CancelledError)


async def test_an_actor_killed_before_its_first_step_is_heard_of(stage: Stage) -> None:
    actor = Puppet()
    stage.play(actor)

    actor.kill()
    await actor.started
    await actor.wait_ended()

    assert isinstance(stage.endings[0].error, asyncio.CancelledError)
    assert stage.endings[0].during == "prepare"


async def test_a_second_kill_ends_an_abandon_that_hangs_and_the_first_error_is_heard(
    stage: Stage,
) -> None:
    gate = Gate()
    actor = Puppet(abandon=gate)
    stage.play(actor).tell(Do(fail))
    await gate.reached.wait()

    actor.kill()
    await actor.wait_ended()

    assert isinstance(stage.endings[0].error, Bug)


async def test_a_hanging_abandon_is_cut_off_at_its_deadline_and_the_supervisor_hears(
    stage: Stage, logs: list[MutableMapping[str, Any]]
) -> None:
    gate = Gate()
    stage.play(Puppet(abandon=gate)).tell(Do(failing(Bug("first"))))
    await gate.reached.wait()
    assert stage.endings == []

    stage.clock.advance(Puppet.abandon_deadline_s or 0)

    await until(lambda: stage.endings)
    assert str(stage.endings[0].error) == "first"
    [log] = [log for log in logs if log["event"] == "abandon_hung"]
    assert (log["actor"], log["after_s"]) == ("puppet", 5.0)


async def test_an_abandon_without_a_deadline_takes_as_long_as_it_likes(stage: Stage) -> None:
    class Stubborn(Puppet):
        abandon_deadline_s = None

    gate = Gate()
    stage.play(Stubborn(abandon=gate)).tell(Do(failing(Bug("first"))))
    await gate.reached.wait()
    stage.clock.advance(1_000)
    assert stage.endings == []

    gate.open.set()

    await until(lambda: stage.endings)


async def test_a_cancelled_wait_for_the_start_does_not_harm_the_actor(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet(prepare=gate)
    address = stage.play(actor)
    waiting = asyncio.ensure_future(asyncio.wait_for(actor.started, timeout=None))
    await gate.reached.wait()
    waiting.cancel()
    await asyncio.wait([waiting])

    gate.open.set()

    assert await address.ask(Note("well")) == 1


async def test_a_stop_passes_what_waits_and_what_waits_stays(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox = Puppet(), stage.mailbox()
    address = stage.address(mailbox)
    stage.enter(actor, mailbox)
    address.tell(Do(gate))
    await gate.reached.wait()
    address.tell(Note("waits"))

    actor.stop()
    gate.open.set()
    await actor.wait_ended()

    assert actor.seen == []
    assert len(mailbox) == 1


async def test_a_stop_meant_for_a_crashed_actor_does_not_stop_the_next_one(stage: Stage) -> None:
    gate = Gate()
    crashed, mailbox = Puppet(), stage.mailbox()
    address = stage.address(mailbox)
    stage.enter(crashed, mailbox)

    async def fail_later(_: Puppet) -> None:
        await gate()
        raise Bug

    address.tell(Do(fail_later))
    await gate.reached.wait()
    stopped = crashed.actor_ref.stop(block=False)
    gate.open.set()
    await crashed.wait_ended()

    stage.enter(Puppet(), mailbox)

    assert await stopped is True
    assert await address.ask(Note("well")) == 1


async def test_notes_of_a_supervisor_to_itself_end_with_it(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox = Puppet(), stage.mailbox()
    stage.enter(actor, mailbox)
    stage.address(mailbox).tell(Do(gate))
    await gate.reached.wait()
    stage.address(mailbox).tell(RestartDue(child="child", incarnation=1))

    actor.kill()
    await actor.wait_ended()

    assert mailbox.empty()


@pytest.mark.parametrize("order", [SystemExit, KeyboardInterrupt])
def test_an_order_to_end_the_program_ends_it_and_the_supervisor_hears_too(
    order: type[BaseException],
) -> None:
    stage = Stage()

    async def program() -> None:
        await stage.play(Puppet()).ask(Do(failing(order())))

    with pytest.raises(order):
        asyncio.run(program())

    assert [type(ending.error) for ending in stage.endings] == [order]
