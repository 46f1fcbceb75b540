"""What an operator sees: every state, every number, and that looking changes nothing."""

from dataclasses import replace

import pytest

from actors.runtime.inspection import ActorState, ActorView
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.nursery import Nursery
from supervisors.engine.policy import Scope
from supervisors.engine.snapshot import details_of, find, view_of
from supervisors.engine.strategies import Restart
from tests.clock import until
from tests.puppets import Bug, Do, Gate, Note, Outage, Puppet, failing
from tests.unit.supervision.offices import HOUSE_POLICY, POLICY, House, Office


def seen(supervisor: Nursery, name: str = "clerk") -> ActorView:
    """One child's view."""
    return next(view for view in view_of(supervisor).children if view.name == name)


async def test_a_tree_is_seen_from_its_top(office: Office, house: House) -> None:
    lower = Office(office.stage)
    lower.hire("inner")
    lower.policy = lower.in_step()
    office.hire("clerk")
    office.hosted.append(Hosted.of(ChildSpec(name="lower", start=lower.supervisor)))
    office.hosted.append(Hosted.of(ChildSpec(name="users", start=house.supervisor)))
    root = await office.open()
    await house.cells.address("7").ask(Note("one"))

    top = view_of(root)

    assert (top.name, top.kind, top.state) == ("office", "Supervisor", ActorState.RUNNING)
    assert (top.strategy, top.max_restarts) == ("one_for_one", POLICY.max_restarts)
    assert [child.name for child in top.children] == ["clerk", "lower", "users"]
    clerk, lower_view, users = top.children
    assert (clerk.kind, clerk.strategy, clerk.children) == ("Puppet", None, ())
    assert (lower_view.kind, lower_view.strategy) == ("Supervisor", "rest_for_one")
    assert [child.name for child in lower_view.children] == ["inner"]
    assert [child.name for child in users.children] == ["user/7"]


async def test_one_that_runs(office: Office) -> None:
    office.hire("clerk")

    view = seen(await office.open())

    assert view == ActorView(
        name="clerk",
        kind="Puppet",
        state=ActorState.RUNNING,
        incarnation=1,
        max_restarts=POLICY.max_restarts,
    )


async def test_one_with_a_message_in_hand_and_others_waiting(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk")
    supervisor = await office.open()
    clerk.tell(Do(gate))
    await gate.reached.wait()
    office.stage.clock.advance(2)
    clerk.tell(Note("a"))
    office.stage.clock.advance(3)
    clerk.tell(Note("b"))

    view = seen(supervisor)

    assert (view.in_hand, view.in_hand_s) == ("Do", 5)
    assert (view.inbox, view.oldest_s) == (2, 3)


async def test_one_that_is_suspended(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()

    supervisor.children["clerk"].mailbox.suspend()
    assert seen(supervisor).state is ActorState.SUSPENDED
    supervisor.children["clerk"].mailbox.resume()
    assert seen(supervisor).state is ActorState.RUNNING


async def test_one_that_waits_for_its_back_off(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    await office.crash("clerk")
    due = supervisor.children["clerk"].restart_at or 0
    delay = due - office.stage.clock.now()
    office.stage.clock.advance(delay / 2)

    view = seen(supervisor)

    assert (view.state, view.kind, view.incarnation) == (ActorState.RESTARTING, "", 1)
    assert view.back_in_s == pytest.approx(delay / 2)
    assert view.last_error == "Bug during waiting"
    assert view.last_error_s == pytest.approx(delay / 2)
    assert view.restarts == 1


async def test_one_that_waits_for_a_sibling(office: Office) -> None:
    office.policy = office.in_step()
    office.hire("clerk")
    office.hire("other")
    supervisor = await office.open()
    await office.crash("clerk")

    view = seen(supervisor, "other")

    assert (view.state, view.back_in_s) == (ActorState.RESTARTING, None)


async def test_one_that_is_parked(house: House) -> None:
    supervisor = await house.open()
    for _ in range(HOUSE_POLICY.max_restarts):
        await house.crash_and_return("7")
    await house.crash("7")

    view = seen(supervisor, "user/7")

    assert (view.state, view.back_in_s) == (ActorState.PARKED, HOUSE_POLICY.park_s)


async def test_one_that_ended_for_good(office: Office) -> None:
    office.hire("clerk", restart=Restart.TRANSIENT)
    supervisor = await office.open()
    office.actors["clerk"][0].stop()
    await until(lambda: supervisor.children["clerk"].settled == 1)

    assert seen(supervisor).state is ActorState.STOPPED


async def test_a_top_that_ended(office: Office) -> None:
    supervisor = await office.open()
    supervisor.stop()
    await supervisor.wait_ended()

    assert view_of(supervisor).state is ActorState.STOPPED


@pytest.mark.parametrize("scope", Scope)
async def test_a_childs_restarts_are_its_own_and_those_of_the_window(
    office: Office, scope: Scope
) -> None:
    office.scope = scope
    office.policy = replace(POLICY, max_restarts=9)
    office.hire("clerk")
    office.hire("other")
    supervisor = await office.open()
    await office.crash_and_return("clerk")
    office.stage.clock.advance(POLICY.window_s / 2)
    await office.crash_and_return("clerk")
    assert (seen(supervisor).restarts, seen(supervisor, "other").restarts) == (2, 0)

    office.stage.clock.advance(POLICY.window_s / 2)

    assert seen(supervisor).restarts == 1
    assert seen(supervisor).incarnation == 3
    assert view_of(supervisor).restarts == (1 if scope is Scope.TOGETHER else 0)


async def test_weather_is_no_restart_that_counts(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    office.actors["clerk"][0].kill(Outage())
    await until(office.planned)

    assert (seen(supervisor).restarts, seen(supervisor).last_error) == (
        0,
        "Outage during waiting",
    )


async def test_one_that_cannot_be_constructed_shows_why(office: Office) -> None:
    def broken() -> None:
        raise Bug

    office.hire("clerk", starts=broken)
    supervisor = await office.open()
    await until(office.planned)

    error = seen(supervisor).last_error or ""
    assert error.startswith("Bug in test_snapshot.py:")
    assert error.endswith("during start")


async def test_of_many_by_key_those_in_trouble_are_shown_first(house: House) -> None:
    supervisor = await house.open()
    for number in range(30):
        await house.cells.address(str(number)).ask(Note("well"))
    await house.crash("25")
    house.cells.children["28"].mailbox.suspend()

    view = view_of(supervisor, shown=3)

    assert [child.name for child in view.children] == ["user/25", "user/28", "user/0"]
    assert view.more == 27


async def test_actors_are_found_by_name(office: Office, house: House) -> None:
    lower = Office(office.stage)
    lower.hire("inner")
    office.hire("clerk")
    office.hosted.append(Hosted.of(ChildSpec(name="lower", start=lower.supervisor)))
    office.hosted.append(Hosted.of(ChildSpec(name="users", start=house.supervisor)))
    root = await office.open()
    await house.cells.address("7").ask(Note("one"))
    users = house.cells.supervisor

    for name, supervisor in [("clerk", root), ("inner", lower.lives[0]), ("user/7", users)]:
        found = find(root, name)
        assert found is not None
        assert found[0] is supervisor
        assert found[1].spec.name == name
    for stranger in ["7", "user/8", "office", "nobody"]:
        assert find(root, stranger) is None


class Clerk(Puppet):
    """Tells about itself."""

    def describe(self) -> dict[str, int]:
        """How much it knows."""
        return {"notes": len(self.seen)}


async def test_a_look_inside_one_actor(office: Office) -> None:
    office.hosted.append(Hosted.of(ChildSpec(name="clerk", start=Clerk)))
    clerk = office.hosted[0].address(office.stage.clock)
    supervisor = await office.open()

    async def work(actor: Puppet) -> None:
        await actor.clock.sleep(4)

    await clerk.ask(Note("one"))
    clerk.tell(Do(work))
    await until(lambda: office.stage.clock.timers)
    office.stage.clock.advance(4)
    await clerk.ask(Note("two"))
    office.stage.clock.advance(6)
    details = details_of(supervisor, supervisor.children["clerk"])

    assert (details.supervisor, details.state) == ("office", {"notes": 2})
    assert (details.handled, details.failed) == (3, 0)
    assert details.mean_s == pytest.approx(4 / 3)
    assert details.longest_s == 4
    assert [one.message for one in details.recent] == ["Note", "Do", "Note"]
    assert [(one.at, one.waited_s, one.took_s) for one in details.recent] == [
        (10, 0, 0),
        (6, 0, 4),
        (6, 0, 0),
    ]


async def test_a_look_inside_one_that_is_down(office: Office) -> None:
    clerk = office.hire("clerk")
    supervisor = await office.open()
    clerk.tell(Do(failing(Bug())))
    await until(office.planned)

    details = details_of(supervisor, supervisor.children["clerk"])

    assert (details.state, details.failed) == ({}, 1)
    assert [one.outcome for one in details.recent] == ["Bug"]
    assert (details.view.inbox, details.view.state) == (1, ActorState.RESTARTING)


async def test_nobody_has_worked_yet(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()

    details = details_of(supervisor, supervisor.children["clerk"])

    assert (details.mean_s, details.longest_s, details.recent) == (None, None, ())
