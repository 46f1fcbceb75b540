"""What stands in a tree just now, as values; looking changes nothing."""

from actors.runtime.inspection import ActorDetails, ActorState, ActorView, HandledMessage
from supervisors.engine.child import Child
from supervisors.engine.dynamic import DynamicSupervisor
from supervisors.engine.nursery import Nursery
from supervisors.engine.patrol import supervisors
from supervisors.engine.restarts import restarts_within

#: Children of a dynamic supervisor that a view shows: those in trouble first.
SHOWN = 20


def view_of(top: Nursery, *, shown: int = SHOWN) -> ActorView:
    """The whole tree from its top. Of children by key at most `shown` a supervisor."""
    now = top.clock.now()
    children, more = _children(top, now, shown)
    return ActorView(
        name=top.name,
        kind=type(top).__name__,
        state=ActorState.STOPPED if top.actor_stopped.is_set() else ActorState.RUNNING,
        incarnation=1,
        restarts=len(restarts_within(top.history, now, top.policy)),
        max_restarts=top.policy.max_restarts,
        strategy=str(top.policy.strategy),
        children=children,
        more=more,
    )


def find(top: Nursery, name: str) -> tuple[Nursery, Child] | None:
    """An actor and its supervisor by the actor's name; None if there is none now."""
    for supervisor in supervisors(top):
        key = name
        if isinstance(supervisor, DynamicSupervisor):
            key = name.removeprefix(supervisor.cells.name(""))
        child = supervisor.children.get(key)
        if child is not None and child.spec.name == name:
            return supervisor, child
    return None


def details_of(supervisor: Nursery, child: Child) -> ActorDetails:
    """A look inside one actor."""
    statistics = child.mailbox.statistics
    now = supervisor.clock.now()
    return ActorDetails(
        view=_view(supervisor, child, now, shown=0),
        supervisor=supervisor.name,
        state=dict(child.actor.describe()) if child.actor is not None else {},
        handled=statistics.handled,
        failed=statistics.failed,
        mean_s=statistics.busy_s / statistics.handled if statistics.handled else None,
        longest_s=statistics.longest_s if statistics.handled else None,
        recent=tuple(_ago(message, now) for message in statistics.recent),
    )


def _view(supervisor: Nursery, child: Child, now: float, *, shown: int) -> ActorView:
    mailbox = child.mailbox
    actor = child.actor
    nursery = actor if isinstance(actor, Nursery) else None
    failure = mailbox.statistics.last_failure
    children, more = _children(nursery, now, shown) if nursery is not None else ((), 0)
    return ActorView(
        name=child.spec.name,
        kind=type(actor).__name__ if actor is not None else "",
        state=_state(child),
        incarnation=child.incarnation,
        restarts=len(restarts_within(child.history, now, supervisor.policy)),
        max_restarts=supervisor.policy.max_restarts,
        inbox=len(mailbox),
        oldest_s=_since(mailbox.oldest_at, now),
        in_hand=type(mailbox.in_hand.message).__name__ if mailbox.in_hand else None,
        in_hand_s=now - mailbox.in_hand_since if mailbox.in_hand else None,
        back_in_s=None if child.restart_at is None else max(0.0, child.restart_at - now),
        last_error=str(failure) if failure else None,
        last_error_s=_since(failure.at, now) if failure else None,
        strategy=str(nursery.policy.strategy) if nursery is not None else None,
        children=children,
        more=more,
    )


def _children(nursery: Nursery, now: float, shown: int) -> tuple[tuple[ActorView, ...], int]:
    children = nursery.children
    if not nursery.passivates:
        views = (_view(nursery, child, now, shown=shown) for child in list(children.values()))
        return tuple(views), 0
    # Not sorted: there may be 100,000, and those in trouble are few.
    troubled: list[Child] = []
    well: list[Child] = []
    for child in list(children.values()):
        if _troubled(child):
            troubled.append(child)
            if len(troubled) == shown:
                break
        elif len(well) < shown:
            well.append(child)
    told = [*troubled, *well][:shown]
    return tuple(_view(nursery, child, now, shown=0) for child in told), len(children) - len(told)


def _troubled(child: Child) -> bool:
    return (
        child.actor is None
        or child.incarnation > 1
        or child.mailbox.suspended
        or len(child.mailbox) > 0
        or child.mailbox.statistics.last_failure is not None
    )


def _state(child: Child) -> ActorState:
    if child.mailbox.parked:
        return ActorState.PARKED
    if child.actor is None:
        waits = child.restart_timer is not None or child.waits_for is not None
        return ActorState.RESTARTING if waits else ActorState.STOPPED
    return ActorState.SUSPENDED if child.mailbox.suspended else ActorState.RUNNING


def _since(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)


def _ago(message: HandledMessage, now: float) -> HandledMessage:
    return HandledMessage(
        message=message.message,
        correlation_id=message.correlation_id,
        at=now - message.at,
        waited_s=message.waited_s,
        took_s=message.took_s,
        outcome=message.outcome,
    )
