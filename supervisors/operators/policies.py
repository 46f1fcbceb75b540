"""The policies and tunables in force: what the files say, and what operators changed since.

A change is one row in the database first, and in force in the same moment after it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from actors.runtime.actor import AsyncioActor
from actors.runtime.events import Event, EventKind, Observer
from actors.runtime.messages import Request, Tick
from config.supervision import RestartPolicy, SupervisionPolicies
from config.tuning import Tunables, TuningError, checked_span, parse_value, with_overrides
from storage.errors import StorageUnavailable
from storage.operations import OperatorRecords
from storage.rows import SettingChangeRow, SettingConflict, SettingDraft
from supervisors.engine.policy import Policy, Strategy

log = structlog.get_logger(__name__)

Changed = TypeVar("Changed")

#: The kind of this actor's address.
POLICIES = "policies"

#: How often it is looked whether the time of a change is over, seconds.
LOOK_INTERVAL_S = 1.0
#: How often all is read anew: somebody may have written to the database, seconds.
RELOAD_INTERVAL_S = 30.0


class PolicyBoard:
    """The values of this moment; whoever is tuned by them asks at every decision."""

    def __init__(self, defaults: Tunables, overrides: Mapping[str, Any] | None = None) -> None:
        self.defaults = defaults
        self.current = defaults
        #: What the database says, including what this release does not allow.
        self.overrides: dict[str, Any] = {}
        self._engine = _engine_policies(defaults)
        self.apply(overrides or {})

    def policy(self, name: str) -> Callable[[], Policy]:
        """The policy of this name, now and whenever it is called again."""
        return lambda: self._engine[name]

    def apply(self, overrides: Mapping[str, Any]) -> None:
        """Put these values in force instead of the file's, and no others.

        One that another release wrote and this one does not allow is left out, with an error in
        the log: supervision goes on by the file.
        """
        if overrides == self.overrides:
            return
        current = self.defaults
        for key, value in sorted(overrides.items()):
            try:
                current = with_overrides(current, {key: value})
            except TuningError as error:
                log.error("policy_override_refused", key=key, reason=str(error))  # noqa: TRY400
        self.current, self.overrides = current, dict(overrides)
        self._engine = _engine_policies(current)

    def apply_change(self, change: SettingChangeRow) -> None:
        """Put one committed change in force."""
        others = {key: value for key, value in self.overrides.items() if key != change.key}
        self.apply(others if change.new is None else {**others, change.key: change.new})

    def of_file(self, key: str) -> Any:
        """What the file says; None for a setting that this release does not have."""
        section, _, field = key.partition(".")
        if section not in Tunables.model_fields:
            return None
        return self.defaults.model_dump()[section].get(field)


def _engine_policies(current: Tunables) -> dict[str, Policy]:
    return {
        name: engine_policy(getattr(current, name)) for name in SupervisionPolicies.model_fields
    }


def engine_policy(policy: RestartPolicy) -> Policy:
    """The engine's form of a policy of the operator's file."""
    values = policy.model_dump()
    return Policy(**{**values, "strategy": Strategy(values["strategy"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPolicy(Request["SettingChangeRow | SettingConflict | TuningError"]):
    """Give a setting another value, for good or for a time in seconds."""

    key: str
    text: str
    who: str
    reason: str
    revert_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoPolicy(Request["SettingChangeRow | SettingConflict | None"]):
    """Take a change back; None when there is no such change, or it was taken back before."""

    change_id: int
    who: str
    reason: str


class PolicyActor(AsyncioActor):
    """Changes policies, one change after the other, and takes back those whose time is over."""

    def __init__(self, board: PolicyBoard, records: OperatorRecords, observer: Observer) -> None:
        super().__init__()
        self.board = board
        self.records = records
        self.observer = observer
        #: Whether the database may say something else than the board.
        self._stale = True

    async def prepare(self) -> None:
        """Look for changes at once, then at every interval."""
        self.spawn(self._look(), "look")

    async def on_set_policy(
        self, message: SetPolicy
    ) -> SettingChangeRow | SettingConflict | TuningError:
        """Check, commit, apply."""
        revert_after_s = message.revert_after_s
        try:
            value = parse_value(self.board.current, message.key, message.text)
            if revert_after_s is not None:
                checked_span(revert_after_s, f"{revert_after_s:g} s")
        except TuningError as error:
            return error
        return await self._applied(
            self.records.set_setting(
                SettingDraft(
                    key=message.key,
                    expected_old=self.board.overrides.get(message.key),
                    new=value,
                    actor=message.who,
                    reason=message.reason,
                    revert_after_s=revert_after_s,
                )
            )
        )

    async def on_undo_policy(
        self, message: UndoPolicy
    ) -> SettingChangeRow | SettingConflict | None:
        """Commit, apply."""
        undoing = self.records.undo_setting(message.change_id, message.who, message.reason)
        return await self._applied(undoing)

    async def on_tick(self, message: Tick) -> None:
        """Read everything anew."""
        del message
        await self._reload()

    async def _look(self) -> None:
        waited_s = RELOAD_INTERVAL_S
        while True:
            try:
                for change in await self.records.revert_due():
                    self._stale = True
                    self._tell(change)
            except StorageUnavailable as outage:
                self._stale = True  # the commit may have happened
                log.warning("policies_wait", reason=str(outage))
            if self._stale or waited_s >= RELOAD_INTERVAL_S:
                waited_s = 0.0
                self.wake_self()
            await self.clock.sleep(LOOK_INTERVAL_S)
            waited_s += LOOK_INTERVAL_S

    async def _applied(self, changing: Awaitable[Changed]) -> Changed:
        """Commit a change and put it in force, with no wait between: the answer finds it so."""
        self._stale = True  # until it is known what the database says now
        changed = await changing
        if isinstance(changed, SettingChangeRow):
            self.board.apply_change(changed)
            self._tell(changed)
        else:
            await self._reload()
        return changed

    async def _reload(self) -> None:
        self._stale = False  # by whatever happens during the read it is stale again
        try:
            self.board.apply(await self.records.overrides())
        except BaseException:
            self._stale = True
            raise

    def _tell(self, change: SettingChangeRow) -> None:
        old = change.old if change.old is not None else self.board.of_file(change.key)
        new = change.new if change.new is not None else self.board.of_file(change.key)
        log.warning("policy_changed", key=change.key, old=old, new=new, who=change.actor)
        self.observer.event(
            Event(
                kind=EventKind.POLICY_CHANGED,
                at=self.clock.now(),
                supervisor=self.name,
                actor=change.key,
                reason=change.reason,
                details={
                    "key": change.key,
                    "old": old,
                    "new": new,
                    "who": change.actor,
                    "change": change.id,
                },
            )
        )
