"""Everything that happened in the tree, in the database: kept in memory while that is away.

Tracebacks, reasons and details are redacted here, before they reach a table or a chat.
"""

import traceback
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from types import GenericAlias
from typing import Any

import structlog
from pydantic import ConfigDict, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter
from pydantic_core import PydanticSerializationError

from actors.runtime.actor import AsyncioActor
from actors.runtime.clock import Clock
from actors.runtime.events import DeadLetter, Event, EventKind
from actors.runtime.messages import Tick
from config.logging import redact, redacted
from storage.errors import StorageUnavailable
from storage.operations import OperatorRecords
from storage.rows import AlertDraft, EventDraft, LetterDraft
from storage.settings_history import TIMER

log = structlog.get_logger(__name__)

#: The kind of this actor's address.
JOURNAL = "journal"

#: What waits for the database at most; more is counted and only in the log.
MOST_WAITING = 10_000
#: Written in one transaction at most.
BATCH = 500
SCAN_INTERVAL_S = 1.0
PRUNE_INTERVAL_S = 3_600.0
#: The same alert about the same actor is not repeated within so long, seconds.
ALERT_INTERVAL_S = 900.0
#: What owners are told about, and which details.
ALERTS: Mapping[EventKind, tuple[str, tuple[str, ...]]] = {
    EventKind.PARKED: ("alert-parked", ("for_s",)),
    EventKind.STORM: ("alert-storm", ("children",)),
    EventKind.RESTARTING: ("alert-keeps-failing", ("restarts",)),
    EventKind.GAVE_UP: ("alert-gave-up", ()),
    EventKind.QUARANTINED: ("alert-set-aside", ("message", "attempts")),
    EventKind.POLICY_CHANGED: ("alert-policy-reverted", ("key", "old", "new")),
    EventKind.LOOP_BLOCKED: ("alert-loop-blocked", ("for_s",)),
    EventKind.NODE_AWAY: ("alert-node-away", ("node", "away_s")),
    EventKind.NODE_BACK: ("alert-node-back", ("node", "away_s")),
    EventKind.NODE_KEY_REFUSED: ("alert-node-key", ("node",)),
    EventKind.NODE_CERTIFICATE: ("alert-node-certificate", ("node",)),
    EventKind.EXPIRY_HELD: ("alert-expiry-held", ("why",)),
    EventKind.NODE_ANSWERS_WRONG: ("alert-node-answers-wrong", ("node",)),
    EventKind.NODE_UNCOMPARED: ("alert-node-uncompared", ("node", "for_s", "error")),
    EventKind.NODE_EMPTY: ("alert-node-empty", ("node",)),
    EventKind.NODE_NOWHERE: ("alert-node-nowhere", ("node",)),
}
#: Everybody waits while the loop is blocked; for so long, people notice. Seconds.
ALARMING_BLOCKAGE_S = 1.0
#: Bytes of a message as JSON; uuids and times as text. A field that this release does not know is
#: no field to leave out.
CODEC = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", extra="forbid")
#: The end of a traceback says most; an error may quote anything, however long.
LONGEST_TRACEBACK = 20_000


Draft = EventDraft | LetterDraft | AlertDraft


class Journal:
    """An `Observer` that forgets nothing which the database has not got."""

    def __init__(self, clock: Clock, owners: Sequence[int]) -> None:
        #: Called when there is something to write.
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._owners = owners
        # So that alerts of two lives of the program differ.
        self._life = uuid.uuid4().hex[:8]
        self._numbers = count()
        #: What is not written yet, each with the moment at which it happened.
        self._waiting: deque[tuple[float, Draft]] = deque()
        self._alerted: dict[tuple[str, str], float] = {}

    def event(self, event: Event) -> None:
        """See `Observer`."""
        self._keep(event.at, event_draft(event))
        self._alert(event)
        self.wake()

    def dead_letter(self, letter: DeadLetter) -> None:
        """See `Observer`."""
        self._keep(letter.at, letter_draft(letter))
        self.wake()

    async def flush(self, records: OperatorRecords) -> None:
        """Write what waits. What was written before, its answer lost, is not written twice.

        Raises:
            StorageUnavailable: an outage; it waits on.
        """
        while self._waiting:
            batch = list(islice(self._waiting, BATCH))
            try:
                await self._write(records, batch)
            except StorageUnavailable:
                raise
            except Exception:  # noqa: BLE001 - told of the draft that it is about, by the next call
                await self._flush_each(records, len(batch))
            else:
                self._written(len(batch))

    async def _flush_each(self, records: OperatorRecords, drafts: int) -> None:
        """A draft that cannot be written must not hold up all others."""
        for _ in range(drafts):
            try:
                await self._write(records, [self._waiting[0]])
            except StorageUnavailable:
                raise
            except Exception:  # as above
                log.exception("journal_entry_lost")
            self._written(1)

    def _written(self, drafts: int) -> None:
        for _ in range(drafts):
            self._waiting.popleft()

    async def _write(self, records: OperatorRecords, batch: list[tuple[float, Draft]]) -> None:
        now = self._clock.now()
        # Only PostgreSQL's clock says when it was; ours says how long ago.
        drafts = [
            draft if isinstance(draft, AlertDraft) else replace(draft, age_s=max(0.0, now - at))
            for at, draft in batch
        ]
        await records.record(
            [draft for draft in drafts if isinstance(draft, EventDraft)],
            [draft for draft in drafts if isinstance(draft, LetterDraft)],
            [draft for draft in drafts if isinstance(draft, AlertDraft)],
        )

    def _keep(self, at: float, draft: Draft) -> None:
        if len(self._waiting) >= MOST_WAITING:
            log.error("journal_is_full", lost=type(draft).__name__)
            return
        self._waiting.append((at, draft))

    def _alert(self, event: Event) -> None:
        found = alert_of(event)
        if found is None:
            return
        text_id, arguments = found
        about = str(event.details.get("node", event.actor))
        last = self._alerted.get((text_id, about))
        if last is not None and event.at - last < ALERT_INTERVAL_S and not _always_news(event):
            return
        self._alerted = {
            key: at for key, at in self._alerted.items() if event.at - at < ALERT_INTERVAL_S
        }
        self._alerted[text_id, about] = event.at
        for owner in self._owners:
            key = f"{text_id}:{event.actor}:{self._life}:{next(self._numbers)}"
            alert = AlertDraft(dedupe_key=key, owner=owner, text_id=text_id, arguments=arguments)
            self._keep(event.at, alert)


class JournalActor(AsyncioActor):
    """Writes the journal."""

    def __init__(self, journal: Journal, records: OperatorRecords) -> None:
        super().__init__()
        self.journal = journal
        self.records = records

    async def prepare(self) -> None:
        """Write what waits, at once and at every interval."""
        self.spawn(self._scan(), "scan")
        self.spawn(self._forget(), "forget")

    async def on_tick(self, message: Tick) -> None:
        """Write what waits."""
        del message
        with suppress(StorageUnavailable):  # the next scan tries again
            await self.journal.flush(self.records)

    async def finish(self) -> None:
        """The last words of the tree."""
        with suppress(StorageUnavailable):
            await self.journal.flush(self.records)

    async def _scan(self) -> None:
        while True:
            self.wake_self()
            await self.clock.sleep(SCAN_INTERVAL_S)

    async def _forget(self) -> None:
        while True:
            with suppress(StorageUnavailable):
                await self.records.prune()
            await self.clock.sleep(PRUNE_INTERVAL_S)


def alert_of(event: Event) -> tuple[str, dict[str, str | int]] | None:
    """What owners are told about an event: the text and its arguments; None for most events."""
    if event.kind not in ALERTS or not _alarming(event):
        return None
    text_id, names = ALERTS[event.kind]
    told = {name: _short(event.details[name]) for name in names}
    return text_id, {"actor": event.actor, "reason": redacted(event.reason), **told}


def _alarming(event: Event) -> bool:
    match event.kind:
        case EventKind.RESTARTING:
            return bool(event.details["exceeded"])
        case EventKind.POLICY_CHANGED:
            return bool(event.details["who"] == TIMER)  # an operator knows what he has changed
        case EventKind.LOOP_BLOCKED:
            return bool(event.details["for_s"] >= ALARMING_BLOCKAGE_S)
        case _:
            return True


def _always_news(event: Event) -> bool:
    """Untold, what a value came back to would leave the one before it as the last word."""
    return event.kind is EventKind.POLICY_CHANGED


def _short(value: Any) -> str | int:
    """As people read it; a fraction keeps its digits."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else f"{value:g}"
    return value if isinstance(value, int) else redacted(str(value))


def letter_draft(letter: DeadLetter) -> LetterDraft:
    """A dead letter as it is kept: the message as JSON, the traceback without secrets."""
    return LetterDraft(
        id=uuid.uuid4(),
        age_s=0.0,
        correlation_id=letter.correlation_id,
        operation_id=letter.operation_id,
        actor=letter.actor,
        message_type=type(letter.message).__name__,
        payload=payload_of(letter.message),
        attempts=letter.attempts,
        error=type(letter.error).__name__,
        # Cut last: half a secret has not its shape.
        traceback=redacted("".join(traceback.format_exception(letter.error)))[-LONGEST_TRACEBACK:],
    )


def payload_of(message: Any) -> dict[str, Any] | None:
    """A message as JSON; None for one that cannot be, whatever it is made of."""
    try:
        (payload,) = _codec(type(message)).dump_python((message,), mode="json")
    except (PydanticSerializationError, PydanticUserError, PydanticUndefinedAnnotation, ValueError):
        return None
    return payload if isinstance(payload, dict) else None


def message_of(kind: type, payload: Any) -> Any:
    """A message again.

    Raises:
        ValueError: the payload is none of this kind; another release wrote it.
    """
    (message,) = _codec(kind).validate_python((payload,))
    return message


def _codec(kind: type) -> TypeAdapter[Any]:
    # In a tuple, because a dataclass takes no configuration from outside.
    return TypeAdapter(GenericAlias(tuple, (kind,)), config=CODEC)


def event_draft(event: Event) -> EventDraft:
    """An event as it is kept; its age is filled in when it is written."""
    return EventDraft(
        id=uuid.uuid4(),
        age_s=0.0,
        kind=event.kind,
        supervisor=event.supervisor,
        actor=event.actor,
        incarnation=event.incarnation,
        reason=redacted(event.reason),
        details=redact(None, "", dict(event.details)),
        correlation_id=event.correlation_id,
    )
