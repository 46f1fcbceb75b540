"""Telegram's updates: committed first, acknowledged second, worked on third; none is lost.

aiogram's own polling acknowledges before handlers run, so a crash would lose a paid update.
"""

import json
import traceback
import uuid
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)

from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Address
from actors.runtime.events import EventKind
from actors.runtime.mailbox import MessageContext, current_context
from actors.runtime.messages import Tick
from actors.runtime.replies import ActorFailed
from bot.ports import RawUpdate, UpdateInbox
from bot.session import GetRawUpdates
from config.logging import redacted
from storage.rows import InboxRow, LetterDraft

log = structlog.get_logger(__name__)

#: Telegram holds a request for updates so long, seconds.
POLL_S = 25
#: Waits between polls that fail, seconds: doubling from the first to the second.
PAUSE_S = (0.25, 30.0)
#: Our own database is asked more often, seconds.
WEATHER_PAUSE_S = 0.5
#: Telegram's own default of calls at once; the inbox puts them in order.
MAX_CONNECTIONS = 40
#: How often it is looked whether updates still come here, seconds.
WEBHOOK_LOOK_S = 60.0
#: How long what nobody reads waits until it is looked at again, seconds.
UNREAD_WAIT_S = 600.0
#: Updates read from the inbox at once.
BATCH = 100
SCAN_INTERVAL_S = 1.0
#: Users worked for at once, so that a crowd leaves connections to money and to the node.
LANES_AT_ONCE = 8
#: An update that fails so often by a bug, or never comes to an end, is set aside.
BUG_TRIES = 3
#: Answers that Telegram does not take are repeated for about four minutes.
TELEGRAM_TRIES = 8
LONGEST_WAIT_S = 60.0
#: What is noted of a push from which nothing can be read that was paid.
NOTHING_TO_DO = "nothing to do"
#: Whom a letter names whose update no actor failed over.
ITSELF = "inbox"
WEATHER_WAIT_S = 0.3
#: How often updates that were done long ago are forgotten.
PRUNE_INTERVAL_S = 3600.0


class TelegramIntake(AsyncioActor):
    """Polls for updates. The offset moves only past what is committed."""

    def __init__(
        self, bot: Bot, inbox: UpdateInbox, allowed_updates: list[str], worker: Address
    ) -> None:
        super().__init__()
        self.bot = bot
        self.inbox = inbox
        self.allowed_updates = allowed_updates
        self.worker = worker

    async def prepare(self) -> None:
        """Poll from now on."""
        self.spawn(self._poll(), "poll")

    async def _poll(self) -> None:
        offset: int | None = None
        pause = PAUSE_S[0]
        while True:
            try:
                offset = await self._take(offset)
                pause = PAUSE_S[0]
                continue
            except TelegramUnauthorizedError:
                log.critical("telegram_refuses_the_token")
                raise
            except TelegramConflictError as conflict:
                await self._conflict(conflict)
            except TelegramRetryAfter as limit:
                pause = max(pause, limit.retry_after)
            except TelegramAPIError as outage:
                log.warning("intake_waits", reason=type(outage).__name__)
            except self.weather as outage:
                log.warning("intake_waits", reason=str(outage))
                pause = min(pause, WEATHER_PAUSE_S)
            await self.clock.sleep(pause)
            pause = min(PAUSE_S[1], pause * 2)

    async def _conflict(self, conflict: TelegramConflictError) -> None:
        """A webhook of an earlier mode is taken away; another poller is only waited for."""
        if "webhook" not in conflict.message.lower():
            log.error("another_poller", reason=conflict.message)
            return
        log.warning("webhook_is_in_the_way", deleted=True)
        try:
            await self.bot.delete_webhook(drop_pending_updates=False)
        except TelegramAPIError as outage:
            log.warning("intake_waits", reason=type(outage).__name__)

    async def _take(self, offset: int | None) -> int | None:
        """One poll: the offset that acknowledges what was committed."""
        request = GetRawUpdates(offset=offset, timeout=POLL_S, allowed_updates=self.allowed_updates)
        updates = await self.bot(request, request_timeout=POLL_S + 10)
        if not updates:
            return offset
        await self.inbox.accept([raw_update(self.bot.id, update) for update in updates])
        self.worker.wake()
        return max(int(update["update_id"]) for update in updates) + 1


class WebhookIntake(AsyncioActor):
    """Tells Telegram where updates go. At the end it stays so: what comes meanwhile is kept.

    A back-end of before that still polls takes the webhook away, and then nothing would come for
    ever: so it is looked after, and what Telegram cannot deliver is told in the log.
    """

    def __init__(self, bot: Bot, url: str, secret: str, allowed_updates: list[str]) -> None:
        super().__init__()
        self.bot = bot
        self.url = url
        self.secret = secret
        self.allowed_updates = allowed_updates
        self._troubled_at: object = None

    async def prepare(self) -> None:
        """Tell it from now on, whenever Telegram has not heard it."""
        self.spawn(self._keep(), "webhook")

    async def _keep(self) -> None:
        pause, known = PAUSE_S[0], False
        while True:
            try:
                known = known and await self._is_there()
                if not known:
                    await self._set()
            except TelegramUnauthorizedError:
                log.critical("telegram_refuses_the_token")
                raise
            except TelegramRetryAfter as limit:
                pause = max(pause, limit.retry_after)
            except TelegramBadRequest as refusal:
                log.error("webhook_not_taken", reason=refusal.message)  # noqa: TRY400 - Telegram says it all
            except TelegramAPIError as outage:
                log.warning("intake_waits", reason=type(outage).__name__)
            else:
                known, pause = True, PAUSE_S[0]
                await self.clock.sleep(WEBHOOK_LOOK_S)
                continue
            await self.clock.sleep(pause)
            pause = min(PAUSE_S[1], pause * 2)

    async def _set(self) -> None:
        await self.bot.set_webhook(
            self.url,
            secret_token=self.secret,
            allowed_updates=self.allowed_updates,
            max_connections=MAX_CONNECTIONS,
            drop_pending_updates=False,
        )
        log.info("webhook_set")

    async def _is_there(self) -> bool:
        """Whether Telegram still knows it; each trouble that it had is told once."""
        told = await self.bot.get_webhook_info()
        if told.url != self.url:
            log.error("webhook_was_taken_away")
            return False
        if told.last_error_date is not None and told.last_error_date != self._troubled_at:
            self._troubled_at = told.last_error_date
            waiting = told.pending_update_count
            log.error("webhook_trouble", reason=told.last_error_message, waiting=waiting)
        return True


class UnknownSource(Exception):  # noqa: N818 - a provider that is switched off
    """Nobody here reads what this sender sent. It waits until somebody does."""


class InboxWorker(AsyncioActor):
    """Works on accepted updates: one user's in order, different users' side by side.

    Money has no lane and waits behind nothing.
    """

    def __init__(self, inbox: UpdateInbox, dispatch: Callable[[InboxRow], Awaitable[Any]]) -> None:
        super().__init__()
        self.inbox = inbox
        self.dispatch = dispatch
        self._lanes: set[int] = set()
        self._alone: set[int] = set()
        #: Attempts that count, of updates whose last one was no bug's: an outage may have kept it
        #: from being taken back, or kept from us that it was counted.
        self._attempts: dict[int, int] = {}

    async def prepare(self) -> None:
        """Look for work at once, then at every interval."""
        self.spawn(self._scan(), "scan")
        self.spawn(self._forget(), "forget")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {"lanes_in_hand": len(self._lanes), "alone_in_hand": len(self._alone)}

    async def on_tick(self, message: Tick) -> None:
        """Start on every lane that has work and is not being worked on."""
        del message
        lanes: dict[Hashable, list[InboxRow]] = {}
        for row in await self.inbox.waiting(BATCH, list(self._lanes), list(self._alone)):
            lanes.setdefault(_lane(row), []).append(row)
        for rows in lanes.values():
            if rows[0].lane is None:
                self._alone.add(rows[0].seq)
            elif len(self._lanes) < LANES_AT_ONCE:
                self._lanes.add(rows[0].lane)
            else:
                continue  # whoever finishes looks again
            self.spawn(self._work(rows), f"update-{rows[0].source_id}", drains=True)

    async def _scan(self) -> None:
        resumed = False
        while True:
            try:
                if not resumed:
                    await self.inbox.resume()
                    resumed = True
            except self.weather as outage:
                log.warning("inbox_waits", reason=str(outage))
            self.wake_self()
            await self.clock.sleep(SCAN_INTERVAL_S)

    async def _forget(self) -> None:
        while True:
            try:
                await self.inbox.prune()
            except self.weather as outage:
                log.warning("inbox_waits", reason=str(outage))
            await self.clock.sleep(PRUNE_INTERVAL_S)

    async def _work(self, rows: list[InboxRow]) -> None:
        """One lane, in order; what must wait holds back the rest of it."""
        try:
            for row in rows:
                if self.draining or not await self._work_on(row):
                    break
        except self.weather as outage:
            log.warning("inbox_waits", reason=str(outage))
            self.wake_self_soon()
            return
        finally:
            self._alone.discard(rows[0].seq)
            if rows[0].lane is not None:
                self._lanes.discard(rows[0].lane)
        self.wake_self()

    async def _work_on(self, row: InboxRow) -> bool:
        row = replace(row, attempts=self._attempts.pop(row.seq, row.attempts))
        if row.attempts >= BUG_TRIES:  # begun again and again, and never to an end
            log.error("update_never_ends", update=row.source_id, attempts=row.attempts)
            await self._set_row_aside(row, _letter(row, None, row.attempts))
            return True
        error: Exception | None = None
        try:
            await self.inbox.begin(row)
            reply, error = await self._dispatched(row)
            return await self._recorded(row, reply, error)
        except self.weather:
            if error is None or isinstance(error, (TelegramAPIError, UnknownSource, *self.weather)):
                self._attempts[row.seq] = row.attempts
            raise

    async def _recorded(self, row: InboxRow, reply: str, error: Exception | None) -> bool:
        if error is not None:
            return await self._failed(row, error)
        await self.inbox.done(row, reply)
        return True

    async def _failed(self, row: InboxRow, error: Exception) -> bool:
        if isinstance(error, self.weather):
            return await self._postpone(row, WEATHER_WAIT_S, str(error))
        match error:
            case UnknownSource():
                log.error("unknown_source", source=row.source, update=row.source_id)
                return await self._postpone(row, UNREAD_WAIT_S, "unknown source")
            case TelegramRetryAfter(retry_after=wait_s):
                return await self._postpone(row, wait_s, "flood limit")
            case TelegramAPIError():
                return await self._refused(row, error)
            case ActorFailed():  # it has tried as often as it makes sense
                return await self._give_up(row, error)
            case _:
                return await self._again(row, error)

    async def _dispatched(self, row: InboxRow) -> tuple[str, Exception | None]:
        # An update's name stays the same however often it is worked on.
        story = correlation_id(row)
        current_context.set(MessageContext(correlation_id=story, operation_id=story))
        with structlog.contextvars.bound_contextvars(update=row.source_id, correlation_id=story):
            try:
                answer = await self.dispatch(row)
            except Exception as error:  # noqa: BLE001 - any bug may hide in a handler; none may block
                return "", error
        return (NOTHING_TO_DO if answer == NOTHING_TO_DO else "handled"), None

    async def _postpone(self, row: InboxRow, after_s: float, reason: str) -> bool:
        log.warning("update_postponed", update=row.source_id, reason=reason, after_s=after_s)
        await self.inbox.release(row, after_s=after_s, counts=False)
        if after_s <= WEATHER_WAIT_S:
            self.clock.call_later(after_s, self.wake_self)
        return False

    async def _refused(self, row: InboxRow, refusal: TelegramAPIError) -> bool:
        log.error(
            "update_refused",
            update=row.source_id,
            refusals=row.refusals + 1,
            reason=refusal.message,
        )
        if row.refusals + 1 >= TELEGRAM_TRIES:
            return await self._give_up(row, refusal)
        await self.inbox.refused(row, after_s=min(LONGEST_WAIT_S, 2.0**row.refusals))
        return False

    async def _again(self, row: InboxRow, bug: Exception) -> bool:
        attempt = row.attempts + 1
        log.error(
            "update_failed", update=row.source_id, attempt=attempt, tries=BUG_TRIES, exc_info=bug
        )
        if attempt >= BUG_TRIES:
            return await self._give_up(row, bug)
        await self.inbox.release(row, after_s=min(LONGEST_WAIT_S, 2.0**row.attempts), counts=True)
        return False

    async def _give_up(self, row: InboxRow, error: Exception) -> bool:
        await self._set_row_aside(row, _letter(row, error, row.attempts + 1))
        return True

    async def _set_row_aside(self, row: InboxRow, letter: LetterDraft) -> None:
        await self.inbox.quarantine(row, letter.error, letter)
        if letter.actor != ITSELF:
            return  # the actor that failed has told it
        self.tell_observer(
            EventKind.QUARANTINED,
            reason=letter.error,
            details={"message": letter.message_type, "attempts": letter.attempts},
            correlation_id=letter.correlation_id,
        )


def correlation_id(row: InboxRow) -> str:
    """What an update is called in logs and letters."""
    return f"{row.source}:{row.source_id}"


def _letter(row: InboxRow, error: Exception | None, attempts: int) -> LetterDraft:
    """What an operator reads. An actor that failed has written the traceback itself."""
    failed = isinstance(error, ActorFailed)
    words = "" if failed or error is None else "".join(traceback.format_exception(error))
    return LetterDraft(
        id=uuid.uuid4(),
        age_s=0.0,
        correlation_id=correlation_id(row),
        operation_id=correlation_id(row),
        actor=error.actor if isinstance(error, ActorFailed) else ITSELF,
        message_type="update",
        payload=None,  # the update itself is kept, and is what is tried again
        attempts=attempts,
        error="never ended" if error is None else type(error).__name__,
        traceback=redacted(words),
    )


def raw_update(bot_id: int, update: dict[str, Any]) -> RawUpdate:
    """An update as the inbox keeps it.

    In ASCII: half of a surrogate pair, which JSON can carry, is no text that PostgreSQL takes.
    """
    return RawUpdate(
        source=f"telegram:{bot_id}",
        source_id=str(update["update_id"]),
        payload=json.dumps(update, separators=(",", ":")),
        lane=lane_of(update),
    )


def lane_of(update: dict[str, Any]) -> int | None:
    """Whose update it is; None for money, which waits behind nothing.

    A payment needs no order among its user's updates: the user's actor and its key give that.
    """
    if "pre_checkout_query" in update:
        return None
    message = update.get("message")
    if isinstance(message, dict) and "successful_payment" in message:
        return None
    for content in update.values():
        if isinstance(content, dict):
            sender = content.get("from") or content.get("chat") or content.get("user")
            if isinstance(sender, dict) and isinstance(sender.get("id"), int):
                return int(sender["id"])
    return 0


def _lane(row: InboxRow) -> Hashable:
    return row.lane if row.lane is not None else ("alone", row.seq)
