"""What travels with a message: its story, into everything that is sent and logged; nothing else."""

import asyncio
import contextvars
from dataclasses import dataclass

import structlog

from actors.runtime.mailbox import MessageContext, current_context
from actors.runtime.replies import Unavailable
from tests.clock import until
from tests.puppets import Do, Note, Puppet, Stage, fail

in_transaction: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "in_transaction", default=False
)


@dataclass(frozen=True, slots=True)
class Story:
    """What a handler knows of where it came from."""

    correlation_id: str
    operation_id: str
    log: dict[str, object]


async def tell_story(_: Puppet) -> Story:
    """The context of the message in hand, in the envelope and in the log."""
    context = current_context.get()
    assert context is not None
    log = structlog.contextvars.get_contextvars()
    return Story(context.correlation_id, context.operation_id, log)


async def test_a_message_has_a_correlation_id_and_its_log_names_actor_and_operation(
    stage: Stage,
) -> None:
    story = await stage.play(Puppet(), "clerk").ask(Do(tell_story, operation_id="tap-7"))

    assert story.correlation_id
    assert story.log == {
        "actor": "clerk",
        "correlation_id": story.correlation_id,
        "operation_id": "tap-7",
    }


async def test_messages_from_outside_have_stories_of_their_own(stage: Stage) -> None:
    address = stage.play(Puppet())

    first, second = await address.ask(Do(tell_story)), await address.ask(Do(tell_story))

    assert first.correlation_id != second.correlation_id


async def test_a_story_goes_on_along_a_chain_of_asks_and_tells(stage: Stage) -> None:
    told: list[Story] = []
    third = stage.play(Puppet(), "third")
    second = stage.play(Puppet(), "second")

    async def note_story(actor: Puppet) -> None:
        told.append(await tell_story(actor))

    async def pass_on(actor: Puppet) -> None:
        told.append(await tell_story(actor))
        third.tell(Do(note_story))

    async def begin(actor: Puppet) -> Story:
        await second.ask(Do(pass_on))
        return await tell_story(actor)

    first = await stage.play(Puppet(), "first").ask(Do(begin, operation_id="tap-7"))

    await until(lambda: len(told) == 2)
    assert {story.correlation_id for story in told} == {first.correlation_id}
    assert [story.operation_id for story in told] == ["tap-7", "tap-7"]
    assert [story.log["actor"] for story in told] == ["second", "third"]


async def test_a_message_with_an_operation_of_its_own_keeps_it(stage: Stage) -> None:
    second = stage.play(Puppet(), "second")

    async def ask(_: Puppet) -> Story:
        return await second.ask(Do(tell_story, operation_id="inner"))

    story = await stage.play(Puppet()).ask(Do(ask, operation_id="outer"))

    assert story.operation_id == "inner"


async def test_the_sender_may_name_the_operation(stage: Stage) -> None:
    told: list[Story] = []

    async def note_story(actor: Puppet) -> None:
        told.append(await tell_story(actor))

    stage.play(Puppet()).tell(Do(note_story), operation_id="by hand")

    await until(lambda: told)
    assert told[0].operation_id == "by hand"


async def test_a_message_from_a_stock_reference_begins_a_story(stage: Stage) -> None:
    actor = Puppet()
    stage.play(actor)

    story = await actor.actor_ref.ask(Do(tell_story), block=False)

    assert story.correlation_id


async def test_what_a_handler_binds_to_the_log_is_gone_with_its_message(stage: Stage) -> None:
    address = stage.play(Puppet(), "clerk")

    async def bind(_: Puppet) -> None:
        structlog.contextvars.bind_contextvars(purchase_id="7", actor="an impostor")

    await address.ask(Do(bind, operation_id="tap-7"))
    story = await address.ask(Do(tell_story))

    assert story.operation_id == ""
    assert story.log == {
        "actor": "clerk",
        "correlation_id": story.correlation_id,
        "operation_id": "",
    }


async def test_between_messages_an_actor_has_a_name_and_no_story(stage: Stage) -> None:
    seen: list[tuple[object, dict[str, object]]] = []

    async def note(_: Puppet) -> None:
        seen.append((current_context.get(), structlog.contextvars.get_contextvars()))

    actor = Puppet(prepare=note, finish=note)
    address = stage.play(actor, "clerk")
    await address.ask(Note("one"))
    actor.stop()
    await actor.wait_ended()

    assert seen == [(None, {"actor": "clerk"})] * 2


async def test_a_senders_own_context_does_not_leak_into_the_actor(stage: Stage) -> None:
    async def look(_: Puppet) -> bool:
        return in_transaction.get()

    in_transaction.set(True)
    structlog.contextvars.bind_contextvars(update="7")

    address = stage.play(Puppet())

    assert await address.ask(Do(look)) is False
    assert "update" not in (await address.ask(Do(tell_story))).log


async def test_spawned_work_starts_with_a_name_and_nothing_else(stage: Stage) -> None:
    found = asyncio.get_running_loop().create_future()

    async def beside() -> None:
        found.set_result(
            (in_transaction.get(), current_context.get(), structlog.contextvars.get_contextvars())
        )

    async def spawn(actor: Puppet) -> None:
        in_transaction.set(True)
        actor.spawn(beside(), "beside")

    await stage.play(Puppet(), "clerk").ask(Do(spawn, operation_id="tap-7"), timeout_s=1)

    assert await found == (False, None, {"actor": "clerk"})


async def test_a_crash_carries_the_story_of_its_message(stage: Stage) -> None:
    stage.play(Puppet()).tell(Do(fail, operation_id="tap-7"))

    await until(lambda: stage.endings)

    context = stage.endings[0].context
    assert context is not None
    assert context.operation_id == "tap-7"


async def test_an_orderly_end_has_no_story(stage: Stage) -> None:
    actor = Puppet()
    await stage.play(actor).ask(Note("one"))

    actor.stop()

    await until(lambda: stage.endings)
    assert stage.endings[0].context is None


async def test_a_postponed_message_leaves_a_warning(stage: Stage) -> None:
    async def busy(_: Puppet) -> None:
        raise Unavailable("busy")

    address = stage.play(Puppet(), "clerk")
    with structlog.testing.capture_logs() as logs:
        address.tell(Do(busy))
        await address.ask(Note("a fence"))

    [log] = logs
    assert log["event"] == "message_postponed"
    assert log["message"] == "Do"
    assert "busy" in log["reason"]


def test_a_fresh_context_waits_for_nobody() -> None:
    context = MessageContext.fresh()

    assert (context.operation_id, context.deadline, context.chain) == ("", None, ())
