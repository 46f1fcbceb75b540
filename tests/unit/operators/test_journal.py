"""What is kept of events and letters, what owners are told of them, and what nobody may read."""

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from actors.runtime.events import DeadLetter, Event, EventKind
from storage.errors import StorageUnavailable
from storage.operations import OperatorRecords
from storage.rows import AlertDraft, EventDraft, LetterDraft
from supervisors.operators import journal as journal_module
from supervisors.operators.journal import (
    ALERT_INTERVAL_S,
    BATCH,
    LONGEST_TRACEBACK,
    Draft,
    Journal,
    alert_of,
    event_draft,
    letter_draft,
)
from tests.clock import ManualClock
from tests.puppets import Bug, Note

Logs = list[MutableMapping[str, Any]]
OWNERS = [11, 12]

UUID4 = "0c8e92a4-6b1f-4d3c-9a57-1d2e3f405162"
#: What must not be found again, and the text in which it stands.
SECRETS = {
    "0c8e92a4-6b1f": f"user {UUID4} is not there",
    "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw": "bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw said no",
    "pbk=Zx9": f"link vless://{UUID4}@example.com:443?pbk=Zx9&sid=1#Berlin was cut",
    "hunter2": "cannot connect to postgresql://tollgate:hunter2@db.example:5432/tollgate",
}


class Slate(OperatorRecords):
    """Records in memory, with a database that a test takes away, and drafts that it refuses."""

    def __init__(self) -> None:
        self.away = False
        self.refuses: list[str] = []
        self.written: list[Draft] = []
        self.batches: list[int] = []

    async def record(
        self,
        events: Sequence[EventDraft],
        letters: Sequence[LetterDraft],
        alerts: Sequence[AlertDraft],
    ) -> None:
        """See `OperatorRecords`."""
        if self.away:
            raise StorageUnavailable("away")
        if any(event.reason in self.refuses for event in events):
            raise ValueError("a column that is too short, say")
        self.batches.append(len(events) + len(letters) + len(alerts))
        self.written += [*events, *letters, *alerts]

    @property
    def reasons(self) -> list[str]:
        """Those of the events, in order."""
        return [draft.reason for draft in self.written if isinstance(draft, EventDraft)]

    @property
    def alerts(self) -> list[AlertDraft]:
        """What owners are told."""
        return [draft for draft in self.written if isinstance(draft, AlertDraft)]


def event(kind: EventKind = EventKind.CRASHED, *, at: float = 1_000, **changes: Any) -> Event:
    usual: dict[str, Any] = {"supervisor": "users/03", "actor": "user/7", "reason": "KeyError"}
    return Event(kind=kind, at=at, **(usual | changes))


def letter(message: Any = None, error: BaseException | None = None) -> DeadLetter:
    return DeadLetter(
        at=1_000,
        actor="user/7",
        message=message or Note("x"),
        attempts=3,
        error=error or Bug("why"),
        correlation_id="c",
        operation_id="o",
    )


def raised(text: str) -> Bug:
    """An error with a traceback and a cause."""
    with pytest.raises(Bug) as caught:
        _stumble(text)
    return caught.value


def _stumble(text: str) -> None:
    try:
        int(text)
    except ValueError as cause:
        raise Bug(text) from cause


# What waits


async def test_what_happens_wakes_the_writer(clock: ManualClock) -> None:
    journal = Journal(clock, OWNERS)
    calls: list[int] = []
    journal.wake = lambda: calls.append(1)

    journal.event(event())
    journal.dead_letter(letter())

    assert len(calls) == 2


async def test_during_an_outage_everything_waits_and_keeps_its_order(clock: ManualClock) -> None:
    journal, slate = Journal(clock, []), Slate()
    slate.away = True
    for number in range(3):
        journal.event(event(reason=str(number)))
        with pytest.raises(StorageUnavailable):
            await journal.flush(slate)

    slate.away = False
    await journal.flush(slate)
    await journal.flush(slate)

    assert slate.reasons == ["0", "1", "2"]


async def test_the_age_is_counted_until_it_is_written(clock: ManualClock) -> None:
    journal, slate = Journal(clock, []), Slate()
    journal.event(event(at=clock.now()))
    clock.advance(7_200)
    journal.event(event(at=clock.now() + 5))  # of a clock that was ahead: never in the future

    await journal.flush(slate)

    assert [draft.age_s for draft in slate.written if isinstance(draft, EventDraft)] == [7_200, 0]


async def test_a_draft_that_cannot_be_written_holds_up_no_other(
    clock: ManualClock, logs: Logs
) -> None:
    journal, slate = Journal(clock, []), Slate()
    slate.refuses = ["1", "3"]
    for number in range(5):
        journal.event(event(reason=str(number)))

    await journal.flush(slate)

    assert slate.reasons == ["0", "2", "4"]
    assert [line["event"] for line in logs] == ["journal_entry_lost"] * 2


async def test_after_a_draft_that_cannot_be_written_the_rest_goes_in_batches_again(
    clock: ManualClock,
) -> None:
    journal, slate = Journal(clock, []), Slate()
    slate.refuses = ["0"]
    for number in range(3 * BATCH):
        journal.event(event(reason=str(number)))

    await journal.flush(slate)

    assert slate.batches == [1] * (BATCH - 1) + [BATCH, BATCH]


async def test_an_outage_amid_single_drafts_loses_none(clock: ManualClock) -> None:
    class Flickering(Slate):
        """Goes away after the first draft that it takes alone."""

        async def record(
            self,
            events: Sequence[EventDraft],
            letters: Sequence[LetterDraft],
            alerts: Sequence[AlertDraft],
        ) -> None:
            await super().record(events, letters, alerts)
            self.away = not self.refuses or len(self.written) == 1

    journal, slate = Journal(clock, []), Flickering()
    slate.refuses = ["1"]
    for number in range(4):
        journal.event(event(reason=str(number)))
    with pytest.raises(StorageUnavailable):
        await journal.flush(slate)
    assert slate.reasons == ["0"]

    slate.away = False
    await journal.flush(slate)

    assert slate.reasons == ["0", "2", "3"]


async def test_what_comes_in_during_a_write_is_written_too(clock: ManualClock) -> None:
    journal = Journal(clock, [])

    class Busy(Slate):
        """While it writes the first batch, something happens."""

        async def record(
            self,
            events: Sequence[EventDraft],
            letters: Sequence[LetterDraft],
            alerts: Sequence[AlertDraft],
        ) -> None:
            if not self.written:
                journal.event(event(reason="meanwhile"))
            await super().record(events, letters, alerts)

    slate = Busy()
    journal.event(event(reason="first"))

    await journal.flush(slate)

    assert slate.reasons == ["first", "meanwhile"]


async def test_no_more_waits_than_memory_is_meant_for(
    clock: ManualClock, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MOST_WAITING", 3)
    journal, slate = Journal(clock, []), Slate()
    for number in range(5):
        journal.event(event(reason=str(number)))

    await journal.flush(slate)
    journal.event(event(reason="later"))
    await journal.flush(slate)

    assert slate.reasons == ["0", "1", "2", "later"]
    assert [(line["event"], line["lost"]) for line in logs] == [
        ("journal_is_full", "EventDraft")
    ] * 2


# What owners are told


@pytest.mark.parametrize(
    ("happened", "text_id", "arguments"),
    [
        (event(EventKind.PARKED, details={"for_s": 300.0}), "alert-parked", {"for_s": 300}),
        (event(EventKind.PARKED, details={"for_s": 0.25}), "alert-parked", {"for_s": "0.25"}),
        (event(EventKind.STORM, details={"children": 20}), "alert-storm", {"children": 20}),
        (
            event(EventKind.RESTARTING, details={"exceeded": True, "restarts": 6}),
            "alert-keeps-failing",
            {"restarts": 6},
        ),
        (event(EventKind.GAVE_UP), "alert-gave-up", {}),
        (
            event(EventKind.QUARANTINED, details={"message": "ShowLink", "attempts": 3}),
            "alert-set-aside",
            {"message": "ShowLink", "attempts": 3},
        ),
        (
            event(
                EventKind.POLICY_CHANGED,
                details={"key": "door.backoff_base_s", "old": 0.25, "new": 0.5, "who": "timer"},
            ),
            "alert-policy-reverted",
            {"key": "door.backoff_base_s", "old": "0.25", "new": "0.5"},
        ),
        (
            event(
                EventKind.POLICY_CHANGED,
                details={"key": "k", "old": "one_for_all", "new": 9, "who": "timer"},
            ),
            "alert-policy-reverted",
            {"key": "k", "old": "one_for_all", "new": 9},
        ),
        (
            event(EventKind.LOOP_BLOCKED, details={"for_s": 1.5, "stack": []}),
            "alert-loop-blocked",
            {"for_s": "1.5"},
        ),
    ],
)
def test_what_owners_should_know_at_once(
    happened: Event, text_id: str, arguments: dict[str, Any]
) -> None:
    assert alert_of(happened) == (text_id, {"actor": "user/7", "reason": "KeyError", **arguments})


@pytest.mark.parametrize(
    "happened",
    [
        event(EventKind.STARTED),
        event(EventKind.CRASHED, details={"during": "x", "weather": False}),
        event(EventKind.RESTARTING, details={"exceeded": False, "restarts": 1}),
        event(EventKind.SUSPENDED, details={"who": "tg:5"}),
        event(EventKind.RESUMED, details={"who": "tg:5"}),
        event(EventKind.LOOP_BLOCKED, details={"for_s": 0.9, "stack": []}),
        event(EventKind.RESTARTED_BY_HAND, details={"who": "tg:5", "at_once": True}),
        event(
            EventKind.POLICY_CHANGED, details={"key": "k", "old": 1, "new": 2, "who": "tg:5"}
        ),  # who changed it knows
    ],
)
def test_what_is_no_news_for_owners(happened: Event) -> None:
    assert alert_of(happened) is None


async def test_every_owner_is_told_once(clock: ManualClock) -> None:
    journal, slate = Journal(clock, OWNERS), Slate()

    journal.event(event(EventKind.GAVE_UP))
    await journal.flush(slate)

    assert [alert.owner for alert in slate.alerts] == OWNERS
    assert len({alert.dedupe_key for alert in slate.alerts}) == 2


async def test_the_same_alert_is_not_repeated_for_a_quarter_of_an_hour(clock: ManualClock) -> None:
    journal, slate = Journal(clock, [11]), Slate()

    for at in (0, 1, ALERT_INTERVAL_S - 0.1, ALERT_INTERVAL_S, 2 * ALERT_INTERVAL_S - 0.1):
        journal.event(event(EventKind.GAVE_UP, at=at))
    await journal.flush(slate)

    assert len(slate.alerts) == 2
    assert len({alert.dedupe_key for alert in slate.alerts}) == 2
    assert len(slate.reasons) == 5, "the history has them all"


async def test_every_value_that_comes_back_by_itself_is_told(clock: ManualClock) -> None:
    """One change on top of another, and both end in one moment: the last word is the right one."""
    journal, slate = Journal(clock, OWNERS), Slate()

    for old, new in ((4, 5), (5, 6)):
        details = {"key": "k", "old": old, "new": new, "who": "timer"}
        journal.event(event(EventKind.POLICY_CHANGED, actor="k", details=details))
    await journal.flush(slate)

    told = [alert.arguments["new"] for alert in slate.alerts]
    assert told == [5, 5, 6, 6], "each to both owners"
    assert len({alert.dedupe_key for alert in slate.alerts}) == 4


async def test_other_actors_and_other_alerts_are_news(clock: ManualClock) -> None:
    journal, slate = Journal(clock, [11]), Slate()

    journal.event(event(EventKind.GAVE_UP, at=0))
    journal.event(event(EventKind.GAVE_UP, at=1, actor="user/8"))
    journal.event(event(EventKind.STORM, at=2, details={"children": 20}))
    await journal.flush(slate)

    assert len(slate.alerts) == 3


async def test_alerts_of_two_lives_of_the_program_are_two(clock: ManualClock) -> None:
    keys = set()
    for _ in range(2):
        journal, slate = Journal(clock, [11]), Slate()
        journal.event(event(EventKind.GAVE_UP))
        await journal.flush(slate)
        keys |= {alert.dedupe_key for alert in slate.alerts}

    assert len(keys) == 2


# What nobody may read


@pytest.mark.parametrize(("secret", "text"), SECRETS.items())
def test_an_event_is_kept_without_secrets(secret: str, text: str) -> None:
    details = {"who": text, "deep": {"list": [text, 1]}, "token": "short", "old": 1.5, "no": None}

    draft = event_draft(event(reason=text, details=details))

    assert secret not in repr(draft)
    assert draft.details["token"] == "[redacted]"
    assert (draft.details["old"], draft.details["no"]) == (1.5, None)


@pytest.mark.parametrize(("secret", "text"), SECRETS.items())
def test_an_alert_is_told_without_secrets(secret: str, text: str) -> None:
    told = alert_of(
        event(EventKind.QUARANTINED, reason=text, details={"message": text, "attempts": 1})
    )

    assert secret not in repr(told)


@pytest.mark.parametrize(("secret", "text"), SECRETS.items())
def test_a_letter_is_kept_without_secrets(secret: str, text: str) -> None:
    draft = letter_draft(letter(error=raised(text)))

    assert secret not in repr(draft)
    assert "Bug" in draft.traceback
    assert "direct cause" in draft.traceback, "the cause is kept"


def test_of_an_endless_error_the_end_is_kept() -> None:
    draft = letter_draft(letter(error=raised("x" * 10 * LONGEST_TRACEBACK + " the end")))

    assert len(draft.traceback) == LONGEST_TRACEBACK
    assert draft.traceback.endswith("the end\n")


# What becomes of a message


class Unheard:
    """Nothing that pydantic knows."""


@dataclass
class Odd:
    """A message with something that no JSON can hold."""

    thing: Unheard


@dataclass
class Vague:
    """A message with anything."""

    thing: Any


@dataclass
class Astray:
    """A message whose annotation leads nowhere."""

    thing: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - that is the point


def a_circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    "message",
    [Odd(Unheard()), Vague(Unheard()), Vague(a_circle()), Astray(1), "words", 7, None, object()],
)
def test_a_message_that_is_no_json_still_makes_a_letter(message: Any) -> None:
    draft = letter_draft(replace(letter(), message=message))

    assert draft.payload is None
    assert draft.message_type == type(message).__name__


def test_a_letter_says_what_it_was_and_why() -> None:
    draft = letter_draft(letter(Note("x"), KeyError("k")))

    assert (draft.actor, draft.message_type, draft.payload) == ("user/7", "Note", {"text": "x"})
    assert (draft.attempts, draft.error) == (3, "KeyError")
    assert (draft.correlation_id, draft.operation_id) == ("c", "o")


def test_two_drafts_of_one_letter_are_two_letters() -> None:
    one = letter(Vague({"id": uuid4()}))

    assert letter_draft(one).id != letter_draft(one).id
    assert json.dumps(letter_draft(one).payload)
