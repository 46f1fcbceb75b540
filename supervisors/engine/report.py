"""One shape for everything that a supervisor did to a child."""

import structlog

log = structlog.get_logger("supervision")


def started(supervisor: str, child: str, incarnation: int) -> None:
    """A child began to work; incarnation 1 is its first."""
    event = log.debug if incarnation == 1 else log.info
    event("actor_started", supervisor=supervisor, child=child, incarnation=incarnation)


def crashed(
    supervisor: str, child: str, incarnation: int, during: str, error: BaseException
) -> None:
    """A child ended by an error."""
    log.error(
        "actor_crashed",
        supervisor=supervisor,
        child=child,
        incarnation=incarnation,
        during=during,
        exc_info=error,
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
