"""Everything that a supervisor did to a child: one line in the log, one event for who observes."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from actors.runtime.actor import AsyncioActor, Ending
from actors.runtime.clock import Clock
from actors.runtime.events import Event, EventKind, Observer, observe
from actors.runtime.messages import RestartByHand
from supervisors.engine.restarts import RestartAfter

log = structlog.get_logger("supervision")


class Reporter:
    """Speaks for one supervisor."""

    def __init__(self, supervisor: AsyncioActor, clock: Clock, observer: Observer) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._observer = observer

    def started(self, child: str, incarnation: int) -> None:
        """A child began to work. First lives are no news: there may be 100,000 of them."""
        if incarnation == 1:
            log.debug("actor_started", supervisor=self._supervisor.name, child=child)
            return
        log.info(
            "actor_started",
            supervisor=self._supervisor.name,
            child=child,
            incarnation=incarnation,
        )
        self._tell(EventKind.STARTED, child, incarnation)

    def crashed(self, child: str, incarnation: int, ending: Ending) -> None:
        """A child ended by an error, or was killed."""
        context = ending.context
        correlation_id = context.correlation_id if context else ""
        cut_off = isinstance(ending.error, asyncio.CancelledError)
        (log.warning if cut_off else log.error)(
            "actor_cut_off" if cut_off else "actor_crashed",
            supervisor=self._supervisor.name,
            child=child,
            incarnation=incarnation,
            during=ending.during,
            weather=ending.weather,
            correlation_id=correlation_id,
            operation_id=context.operation_id if context else "",
            exc_info=None if cut_off else ending.error,
        )
        self._tell(
            EventKind.CRASHED,
            child,
            incarnation,
            reason=type(ending.error).__name__,
            details={"during": ending.during, "weather": ending.weather},
            correlation_id=correlation_id,
            error=ending.error,
        )

    def restarting(
        self, child: str, incarnation: int, after: RestartAfter, with_: list[str]
    ) -> None:
        """A child will be started again. Above its policy that is an alarm."""
        event = log.error if after.exceeded else log.warning
        event(
            "actor_restarts",
            supervisor=self._supervisor.name,
            child=child,
            delay_s=round(after.delay_s, 3),
            exceeded=after.exceeded,
            together_with=with_,
        )
        details = {
            "delay_s": round(after.delay_s, 3),
            "exceeded": after.exceeded,
            "restarts": len(after.history.restarts),
            "streak": after.history.streak,
            "together_with": with_,
        }
        self._tell(EventKind.RESTARTING, child, incarnation, details=details)

    def parked(self, child: str, incarnation: int, for_s: float) -> None:
        """A child failed too often and is left alone for a while."""
        log.error("actor_parked", supervisor=self._supervisor.name, child=child, for_s=for_s)
        self._tell(EventKind.PARKED, child, incarnation, details={"for_s": for_s})

    def storm(self, children: int) -> None:
        """Many different children of one supervisor fail at a time."""
        log.error("restart_storm", supervisor=self._supervisor.name, children=children)
        self._tell(EventKind.STORM, self._supervisor.name, details={"children": children})

    def gave_up(self, child: str, reason: str) -> None:
        """The supervisor fails, and with it all its children."""
        log.critical(
            "supervisor_gave_up", supervisor=self._supervisor.name, child=child, reason=reason
        )
        self._tell(EventKind.GAVE_UP, self._supervisor.name, reason=f"{child}: {reason}")

    def by_hand(self, child: str, incarnation: int, order: RestartByHand) -> None:
        """An operator has a child started anew."""
        log.warning(
            "actor_restarts_by_hand",
            supervisor=self._supervisor.name,
            child=child,
            who=order.who,
            reason=order.reason,
        )
        self._tell(
            EventKind.RESTARTED_BY_HAND,
            child,
            incarnation,
            reason=order.reason,
            details={"at_once": order.at_once, "who": order.who},
        )

    def _tell(
        self,
        kind: EventKind,
        actor: str,
        incarnation: int | None = None,
        *,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        correlation_id: str = "",
        error: BaseException | None = None,
    ) -> None:
        event = Event(
            kind=kind,
            at=self._clock.now(),
            supervisor=self._supervisor.name,
            actor=actor,
            incarnation=incarnation,
            reason=reason,
            details=details or {},
            correlation_id=correlation_id,
            error=error,
        )
        observe(self._observer.event, event)


def top_ended(top: AsyncioActor, ending: Ending) -> None:
    """The top of a tree ended; nobody is above it to start it again."""
    if ending.error is not None:
        log.critical("tree_failed", supervisor=top.name, exc_info=ending.error)
