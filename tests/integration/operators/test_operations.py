"""What operators do to live actors and to what these gave up: recorded first, then done."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from actors.runtime.events import EventKind
from actors.runtime.replies import Unavailable
from bot.ports import OperationRefused
from storage.errors import StorageUnavailable
from storage.operations import OperatorRecords
from storage.rows import EventDraft, LetterDraft, LetterState
from supervisors.engine.snapshot import find
from supervisors.operators.operations import ANSWER_FIRST_S
from tests.integration.database_fixtures import Rows
from tests.integration.operators.stand import TOKEN, WHO, Stand
from tests.puppets import Gate, Note

ACTS = ("suspend", "resume", "restart")


async def act(stand: Stand, name: str, action: str, reason: str = "a look") -> None:
    """As from the socket or the chat."""
    if action == "restart":
        await stand.operations.restart(name, WHO, reason, at_once=False)
        stand.clock.advance(ANSWER_FIRST_S)
    elif action == "suspend":
        await stand.operations.suspend(name, WHO, reason)
    else:
        await stand.operations.resume(name, WHO, reason)


# Actors


async def test_messages_of_a_suspended_actor_wait_until_it_is_resumed(stand: Stand) -> None:
    address = stand.user("7")
    assert await address.ask(Note("first")) == 1

    await act(stand, "user/7", "suspend")
    address.tell(Note("second"))
    await stand.until(lambda: len(stand.child("user/7").mailbox) == 1)
    assert stand.operations.look("user/7").view.state == "suspended"
    assert stand.seen["7"] == ["first"]

    await act(stand, "user/7", "resume")
    await stand.until(lambda: stand.seen["7"] == ["first", "second"])
    assert await stand.actions() == [
        (WHO, "actor_suspend", "user/7", "a look"),
        (WHO, "actor_resume", "user/7", "a look"),
    ]
    told = [(event.kind, event.actor, event.details) for event in stand.events]
    assert told == [
        (EventKind.SUSPENDED, "user/7", {"who": WHO}),
        (EventKind.RESUMED, "user/7", {"who": WHO}),
    ]


async def test_a_restart_is_a_new_object_on_the_same_inbox(stand: Stand) -> None:
    before = stand.child("clerk").actor

    await act(stand, "clerk", "restart")

    await stand.until(lambda: stand.child("clerk").incarnation == 2)
    assert stand.child("clerk").actor is not before
    assert await stand.actions() == [(WHO, "actor_restart", "clerk", "a look")]
    (told,) = stand.of(EventKind.RESTARTED_BY_HAND)
    assert (told.actor, told.details) == ("clerk", {"at_once": False, "who": WHO})


async def test_who_asks_for_a_restart_is_answered_before_it_begins(stand: Stand) -> None:
    """A wish that came through the actor itself is done with, and does not come again."""
    before = stand.child("clerk").actor

    await stand.operations.restart("clerk", WHO, "", at_once=True)
    stand.clock.advance(ANSWER_FIRST_S / 2)
    assert (await stand.actions())[-1][1:3] == ("actor_restart", "clerk"), "recorded at once"
    assert stand.of(EventKind.RESTARTED_BY_HAND) == []
    assert stand.child("clerk").actor is before

    stand.clock.advance(ANSWER_FIRST_S / 2)
    await stand.until(lambda: stand.child("clerk").incarnation == 2)


async def test_who_leaves_before_its_restart_needs_none(stand: Stand) -> None:
    await stand.user("7").ask(Note("x"))
    await stand.operations.restart("user/7", WHO, "", at_once=False)
    actor = stand.child("user/7").actor
    assert actor is not None
    actor.leave()
    await stand.until(lambda: find(stand.root, "user/7") is None)

    stand.clock.advance(ANSWER_FIRST_S)

    assert await stand.user("7").ask(Note("y")) == 2, "and nobody is in the way of the next life"
    assert stand.of(EventKind.RESTARTED_BY_HAND) == []


async def test_nothing_to_suspend_is_no_success(stand: Stand) -> None:
    """An actor that works by itself would go on, and the tree would say that it does not."""
    with pytest.raises(OperationRefused, match="bell works by itself"):
        await act(stand, "bell", "suspend")

    assert await stand.actions() == []


async def test_a_supervisor_can_be_restarted_with_all_below(stand: Stand) -> None:
    await act(stand, "office", "restart")

    await stand.until(lambda: stand.child("office").incarnation == 2)
    await stand.until(lambda: stand.child("clerk").actor)


@pytest.mark.parametrize("action", ACTS)
@pytest.mark.parametrize("name", ["user/8", "clark", "", "user/", "users/00/7", "7"])
async def test_who_is_not_there_is_named_in_the_refusal(
    stand: Stand, name: str, action: str
) -> None:
    await stand.user("7").ask(Note("x"))

    with pytest.raises(OperationRefused, match=f"^no actor {name} is there now; `tollgate tree`"):
        await act(stand, name, action)

    assert await stand.actions() == []


@pytest.mark.parametrize("action", ["suspend", "resume"])
@pytest.mark.parametrize("name", ["office", "users/00"])
async def test_a_supervisor_is_not_suspended(stand: Stand, name: str, action: str) -> None:
    with pytest.raises(OperationRefused, match=f"^{name} is a supervisor and takes no messages"):
        await act(stand, name, action)

    assert await stand.actions() == []


@pytest.mark.parametrize("action", ACTS)
async def test_of_the_top_only_the_tree_is_shown(stand: Stand, action: str) -> None:
    with pytest.raises(OperationRefused, match="root is the top of the tree"):
        await act(stand, "root", action)
    with pytest.raises(OperationRefused, match="root is the top of the tree"):
        stand.operations.look("root")

    assert await stand.actions() == []


@pytest.mark.parametrize("action", ACTS)
async def test_what_cannot_be_recorded_is_not_done(stand: Stand, action: str) -> None:
    if action == "resume":
        await act(stand, "clerk", "suspend")
    before = stand.operations.look("clerk")
    stand.events.clear()
    stand.database.away = True

    with pytest.raises(StorageUnavailable):
        await act(stand, "clerk", action)

    after = stand.operations.look("clerk")
    assert (after.view.state, after.view.incarnation) == (
        before.view.state,
        before.view.incarnation,
    )
    assert stand.child("office").actor is not None
    assert stand.child("office").mailbox.empty()
    assert stand.events == []


@pytest.mark.parametrize("action", ACTS)
async def test_an_act_is_recorded_before_it_is_done(stand: Stand, action: str) -> None:
    gate = Gate()

    class Held(OperatorRecords):
        """Holds the record until the test lets go."""

        async def note_action(self, *words: Any) -> None:
            await gate()
            await super().note_action(*words)

    if action == "resume":
        await act(stand, "clerk", "suspend")
    object.__setattr__(stand.operations, "records", Held(stand.database))
    acting = asyncio.ensure_future(act(stand, "clerk", action))
    await gate.reached.wait()
    assert stand.operations.look("clerk").view.state == (
        "suspended" if action == "resume" else "running"
    )
    assert stand.child("clerk").incarnation == 1

    gate.open.set()
    await acting


async def test_who_left_while_the_act_was_recorded_is_not_suspended_in_silence(
    stand: Stand,
) -> None:
    await stand.user("7").ask(Note("x"))

    class Slow(OperatorRecords):
        """Meanwhile the actor leaves."""

        async def note_action(self, *words: Any) -> None:
            await super().note_action(*words)
            actor = stand.child("user/7").actor
            assert actor is not None
            actor.stop()
            await stand.until(lambda: "user/7" not in str(stand.operations.tree()))

    object.__setattr__(stand.operations, "records", Slow(stand.database))

    with pytest.raises(OperationRefused, match="no actor user/7 is there now"):
        await act(stand, "user/7", "suspend")

    assert stand.of(EventKind.SUSPENDED) == []


async def test_a_reason_is_kept_without_secrets(stand: Stand, rows: Rows) -> None:
    for action in ACTS:
        await act(stand, "clerk", action, f"see {TOKEN}")
    await stand.until(lambda: stand.of(EventKind.RESTARTED_BY_HAND))
    await stand.journal.flush(stand.records)

    kept = await rows.fetch(
        "SELECT reason FROM admin_actions UNION ALL SELECT reason FROM supervision_events"
        " WHERE reason <> ''"
    )
    assert [reason for (reason,) in kept] == ["see [redacted]"] * 6


async def test_a_look_shows_no_secret_that_an_actor_tells(stand: Stand) -> None:
    await stand.user("7").ask(Note("x"))

    assert stand.operations.look("user/7").state == {
        "seen": 1,
        "last": "[redacted]",
        "api_key": "[redacted]",
    }


@pytest.mark.parametrize(
    "name", ["x" * 8_000, "user/\0\n\x1b[2J", "user/\u202e7", "\ud800", "'; --"]
)
async def test_a_name_from_outside_is_repeated_short_and_harmless(stand: Stand, name: str) -> None:
    with pytest.raises(OperationRefused) as refused:
        stand.operations.look(name)

    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


# Forecasts


async def happened(stand: Stand, crashes: Sequence[tuple[str, str, float]], **details: Any) -> None:
    """Crashes of the last hour: supervisor, actor, seconds ago."""
    reason = details.pop("reason", "KeyError")
    kind = details.pop("kind", "crashed")
    drafts = [
        EventDraft(
            id=uuid4(),
            age_s=age_s,
            kind=kind,
            supervisor=supervisor,
            actor=actor,
            incarnation=1,
            reason=reason,
            details=details,
            correlation_id="",
        )
        for supervisor, actor, age_s in crashes
    ]
    await stand.records.record(drafts, [], [])


async def test_a_forecast_for_users_counts_each_user_of_every_partition(stand: Stand) -> None:
    """Seven within a minute is one too many by the file, and not with ten allowed."""
    await happened(stand, [("users/03", "user/7", 100 - at) for at in range(7)])
    await happened(stand, [("users/15", "user/8", 100 - at) for at in range(6)])
    await happened(stand, [("door", "inbox", 5.0), ("users", "users/03", 4.0)])

    forecast = await stand.operations.try_policy("users.max_restarts", "10")

    assert (forecast.restarts, forecast.actors) == (13, 2)
    assert (forecast.too_many_before, forecast.too_many_after) == (1, 0)
    assert (forecast.old, forecast.new) == (6, 10)


async def test_a_forecast_for_the_top_does_not_count_users(stand: Stand) -> None:
    """Four of the branches within five minutes: the top gives up after three."""
    await happened(stand, [("users/03", "user/7", 100 - at) for at in range(50)])
    await happened(stand, [("root", "door", 100 - 10.0 * at) for at in range(4)])
    await happened(stand, [("users", "users/03", 5.0)])

    forecast = await stand.operations.try_policy("root.max_restarts", "9")

    assert (forecast.restarts, forecast.actors) == (5, 2)
    assert (forecast.too_many_before, forecast.too_many_after) == (1, 0)


async def test_a_forecast_for_the_door_counts_its_children_together(stand: Stand) -> None:
    await happened(
        stand, [("door", ("inbox", "intake")[at % 2], 50 - float(at)) for at in range(6)]
    )

    forecast = await stand.operations.try_policy("door.max_restarts", "2")

    assert (forecast.restarts, forecast.actors) == (6, 2)
    assert (forecast.too_many_before, forecast.too_many_after) == (1, 2)


async def test_a_forecast_leaves_out_what_spends_no_restart(stand: Stand) -> None:
    crash = [("door", "inbox", 5.0)]
    await happened(stand, crash, weather=True)
    await happened(stand, crash, reason="CancelledError")
    await happened(stand, crash, kind="started")
    await happened(stand, [("door", "inbox", 3_700.0)])

    forecast = await stand.operations.try_policy("door.max_restarts", "0")

    assert (forecast.restarts, forecast.too_many_after) == (0, 0)


async def test_a_forecast_changes_nothing(stand: Stand) -> None:
    before = stand.board.current

    await stand.operations.try_policy("door.max_restarts", "0")

    assert stand.board.current is before
    assert await stand.records.setting_history(10) == []


async def test_a_forecast_of_a_wrong_value_is_refused(stand: Stand) -> None:
    with pytest.raises(OperationRefused, match="it may be whole numbers 0 to 1000"):
        await stand.operations.try_policy("door.max_restarts", "many")


# Letters


async def a_letter(stand: Stand, **changes: Any) -> int:
    """One that waits: a note for user 7."""
    usual: dict[str, Any] = {
        "id": uuid4(),
        "age_s": 0,
        "correlation_id": "c",
        "operation_id": "op-1",
        "actor": "user/7",
        "message_type": "Note",
        "payload": {"text": "again"},
        "attempts": 3,
        "error": "Bug",
        "traceback": "...",
    }
    await stand.records.record([], [LetterDraft(**(usual | changes))], [])
    return (await stand.records.dead_letters(1))[0].id


async def state_of(stand: Stand, number: int) -> LetterState:
    return (await stand.operations.dead_letter(number)).state


async def test_a_letter_is_sent_again_once(stand: Stand) -> None:
    number = await a_letter(stand)

    assert await stand.operations.retry_dead_letter(number, WHO) == "sent to user/7 again"

    await stand.until(lambda: stand.seen.get("7") == ["again"])
    assert await state_of(stand, number) is LetterState.RETRIED
    with pytest.raises(OperationRefused, match=f"dead letter {number} was retried before"):
        await stand.operations.retry_dead_letter(number, WHO)
    assert await stand.actions() == [(WHO, "dead_letter_retry", str(number), "")]


@pytest.mark.parametrize(
    "changes",
    [
        {"message_type": "OfAnotherRelease"},
        {"payload": {"text": "again", "a_later_field": 1}},
        {"payload": {"words": "again"}},
        {"payload": {}},
        {"payload": None},
        {"actor": "provisioner/berlin"},
        {"actor": "user:7"},
    ],
)
async def test_a_letter_that_cannot_be_read_waits_on(stand: Stand, changes: dict[str, Any]) -> None:
    number = await a_letter(stand, **changes)

    with pytest.raises(OperationRefused, match=f"dead letter {number} cannot be sent again: this"):
        await stand.operations.retry_dead_letter(number, WHO)

    assert await state_of(stand, number) is LetterState.WAITING
    assert (stand.seen, await stand.actions()) == ({"clerk": []}, [])


async def test_a_letter_that_a_full_inbox_does_not_take_waits_anew(stand: Stand) -> None:
    await stand.user("7").ask(Note("x"))
    await act(stand, "user/7", "suspend")
    for text in "abc":
        stand.user("7").tell(Note(text))
    number = await a_letter(stand)

    with pytest.raises(OperationRefused, match="not now: user/7 is busy; the message waits as a"):
        await stand.operations.retry_dead_letter(number, WHO)

    await stand.journal.flush(stand.records)
    (waiting,) = await stand.operations.dead_letters(10)
    assert waiting.id != number
    assert (waiting.actor, waiting.message_type) == ("user/7", "Note")
    assert (waiting.payload, waiting.operation_id) == ({"text": "again"}, "op-1")
    assert waiting.correlation_id == "c"


async def test_during_an_outage_a_letter_is_not_sent(stand: Stand) -> None:
    number = await a_letter(stand)
    stand.database.away = True

    with pytest.raises(StorageUnavailable):
        await stand.operations.retry_dead_letter(number, WHO)

    stand.database.away = False
    assert await state_of(stand, number) is LetterState.WAITING
    assert "7" not in stand.seen


async def test_a_letter_is_dropped_once(stand: Stand) -> None:
    number = await a_letter(stand)

    await stand.operations.drop_dead_letter(number, WHO, f"see {TOKEN}")

    assert await state_of(stand, number) is LetterState.DROPPED
    assert await stand.actions() == [(WHO, "dead_letter_drop", str(number), "see [redacted]")]
    with pytest.raises(OperationRefused, match=f"dead letter {number} was dropped before"):
        await stand.operations.drop_dead_letter(number, WHO, "")


@pytest.mark.parametrize("number", [0, -1, 4_711, 2**63, 10**30])
async def test_a_number_that_no_letter_has_is_refused(stand: Stand, number: int) -> None:
    says = f"there is no dead letter {number}"
    with pytest.raises(OperationRefused, match=says):
        await stand.operations.dead_letter(number)
    with pytest.raises(OperationRefused, match=says):
        await stand.operations.retry_dead_letter(number, WHO)
    with pytest.raises(OperationRefused, match=says):
        await stand.operations.drop_dead_letter(number, WHO, "")


async def test_events_of_a_name_that_no_text_can_be_are_none(stand: Stand) -> None:
    await happened(stand, [("door", "inbox", 5.0)])

    assert await stand.operations.events(10, "in\0box") == []
    assert len(await stand.operations.events(10, "inbox")) == 1


async def test_policies_that_are_busy_are_not_now(stand: Stand) -> None:
    await act(stand, "policies", "suspend")
    setting = stand.operations.set_policy("users.park_s", "5", WHO, "", revert_after_s=None)
    asking = asyncio.ensure_future(setting)
    await stand.until(lambda: len(stand.child("policies").mailbox))

    stand.clock.advance(10)

    with pytest.raises(Unavailable, match="policies did not answer in time"):
        await asking
