"""One shape for everything that a supervisor did to a child."""

import structlog

from actors.runtime.actor import AsyncioActor, Ending

log = structlog.get_logger("supervision")


def started(supervisor: str, child: str, incarnation: int) -> None:
    """A child began to work; incarnation 1 is its first."""
    event = log.debug if incarnation == 1 else log.info
    event("actor_started", supervisor=supervisor, child=child, incarnation=incarnation)


def crashed(supervisor: str, child: str, incarnation: int, ending: Ending) -> None:
    """A child ended by an error, or was killed."""
    context = ending.context
    log.error(
        "actor_crashed",
        supervisor=supervisor,
        child=child,
        incarnation=incarnation,
        during=ending.during,
        correlation_id=context.correlation_id if context else "",
        operation_id=context.operation_id if context else "",
        exc_info=ending.error,
    )


def restarting(supervisor: str, child: str, delay_s: float, *, exceeded: bool) -> None:
    """A child will be started again. Above its limits that is an alarm."""
    event = log.error if exceeded else log.warning
    event(
        "actor_restarts",
        supervisor=supervisor,
        child=child,
        delay_s=round(delay_s, 3),
        exceeded=exceeded,
    )


def gave_up(supervisor: str, child: str) -> None:
    """A child failed more often than its limits allow; the supervisor fails with it."""
    log.critical("supervisor_gave_up", supervisor=supervisor, child=child)


def top_ended(top: AsyncioActor, ending: Ending) -> None:
    """The top of a tree ended; nobody is above it to start it again."""
    if ending.error is not None:
        log.critical("tree_failed", supervisor=top.name, exc_info=ending.error)
