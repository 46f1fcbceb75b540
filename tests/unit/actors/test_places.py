"""Where people are put, whom a node that is away keeps from buying, and who has to leave."""

from typing import Any

import pytest

from actors.user.decisions.access import decide_move, decide_reissue, decide_standing, decide_trial
from actors.user.decisions.catalogue import Catalogue, Place
from actors.user.decisions.keys import choose_node
from actors.user.decisions.orders import OpenDecision, OpenNew, decide_open
from actors.user.messages import (
    NothingToMove,
    NowhereToGo,
    OpenPurchase,
    Reissue,
    SalesPaused,
    Standing,
)
from config.plans import Plan, Plans, Trial
from storage.rows import (
    AccessChange,
    ActDraft,
    Desired,
    NewCredential,
    NodeState,
    Origin,
    RaisedCredential,
    RemovedCredential,
    SubscriptionStatus,
    UserRecord,
)
from tests.unit.actors.rows import (
    BUYER,
    FIRST,
    FRESH,
    IDS,
    PLAN,
    SECOND,
    catalogue,
    credential,
    record,
    subscription,
    user,
)

NODES = ("node-1", "node-2", "node-3")


def shop(plan: Plan = PLAN, /, **places: Place) -> Catalogue:
    """A shop of three nodes, of which some stand in a special way: `node_2=Place(...)`."""
    named = {name.replace("_", "-"): place for name, place in places.items()}
    return catalogue(plan, nodes=NODES, places=named)


def tapped(rows: UserRecord, offers: Catalogue) -> OpenDecision:
    message = OpenPurchase(
        operation_id="tap", plan_id=PLAN.id, language="en", chat_id=BUYER, provider="stars"
    )
    return decide_open(rows, message, offers, FRESH)


def served(node_id: str, **changes: Any) -> UserRecord:
    """A user with running access on a node."""
    key = credential(uuid=FIRST, node_id=node_id, **changes)
    return record(
        user=user(), subscription=subscription(SubscriptionStatus.ACTIVE), credentials=(key,)
    )


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        ({}, "node-1"),
        ({"node_1": Place(users=5)}, "node-2"),
        ({"node_1": Place(users=5, capacity=10), "node_2": Place(users=6, capacity=100)}, "node-3"),
        ({"node_1": Place(answers=False)}, "node-2"),
        ({"node_1": Place(state=NodeState.DRAINING)}, "node-2"),
        ({"node_1": Place(state=NodeState.LOST)}, "node-2"),
        ({"node_1": Place(state=NodeState.REMOVED)}, "node-2"),
        ({"node_1": Place(state=NodeState.FROZEN)}, "node-1"),
        ({"node_1": Place(users=10, capacity=10)}, "node-2"),
        (
            {
                "node_1": Place(answers=False, sells=False),
                "node_2": Place(answers=False, users=9),
                "node_3": Place(users=10, capacity=10),
            },
            "node-2",
        ),
    ],
    ids=[
        "all alike: the first",
        "the emptiest",
        "the emptiest by its share",
        "one that answers",
        "not one that is drained",
        "not one that is lost",
        "not one that was removed",
        "a frozen one takes people",
        "not a full one",
        "none answers: not the one that is long away",
    ],
)
def test_a_newcomer_goes_where_there_is_room_and_an_answer(
    places: dict[str, Place], chosen: str
) -> None:
    assert choose_node(record(user=user()), PLAN, shop(**places)) == chosen


def test_who_has_access_stays_on_a_node_that_is_full_or_away() -> None:
    full = shop(node_2=Place(users=10, capacity=10, answers=False, sells=False))

    assert choose_node(served("node-2"), PLAN, full) == "node-2"


def test_who_comes_back_gets_the_saved_link_unless_its_node_is_long_away() -> None:
    gone = served("node-2", desired=Desired.ABSENT)

    assert choose_node(gone, PLAN, shop(node_2=Place(answers=False))) == "node-2"
    assert choose_node(gone, PLAN, shop(node_2=Place(answers=False, sells=False))) == "node-1"
    assert choose_node(gone, PLAN, shop(node_2=Place(state=NodeState.DRAINING))) == "node-1"


def test_only_a_node_s_own_sales_stop_while_it_is_long_away() -> None:
    away = Place(answers=False, sells=False)
    only_there = PLAN.model_copy(update={"nodes": ("node-2",)})

    assert isinstance(tapped(record(user=user()), shop(node_2=away)), OpenNew)
    assert tapped(record(user=user()), shop(only_there, node_2=away)) == SalesPaused()
    assert isinstance(tapped(served("node-2"), shop(only_there, node_2=away)), OpenNew)


def test_a_full_shop_sells_to_nobody_new_and_extends_all_the_same() -> None:
    full = Place(users=10, capacity=10)
    offers = shop(node_1=full, node_2=full, node_3=full)

    assert tapped(record(user=user()), offers) == SalesPaused()
    assert isinstance(tapped(served("node-2"), offers), OpenNew)


def test_nobody_may_try_what_is_long_in_coming() -> None:
    away = Place(answers=False, sells=False)
    offers = Catalogue(
        plans=Plans(plans=(PLAN,), trial=Trial(plan=PLAN.id, period_s=60)),
        nodes=("node-1",),
        terms={},
        places={"node-1": away},
    )

    assert decide_trial(record(user=user()), offers, IDS, 0) == SalesPaused()


def moved(rows: UserRecord, offers: Catalogue) -> AccessChange:
    decision = decide_move(rows, offers, IDS)
    assert isinstance(decision, AccessChange)
    return decision


@pytest.mark.parametrize("state", [NodeState.DRAINING, NodeState.LOST])
def test_who_is_on_a_node_that_goes_gets_a_key_elsewhere_before_the_old_one_goes(
    state: NodeState,
) -> None:
    change = moved(served("node-1"), shop(node_1=Place(state=state)))

    assert change.wishes == (
        NewCredential(uuid=FRESH, node_id="node-2", replaces=FIRST, origin=Origin.MOVE),
    )
    assert change.steps == ()


def test_who_moves_already_is_left_alone() -> None:
    going = credential(uuid=FIRST, node_id="node-1")
    coming = credential(uuid=SECOND, node_id="node-2", replaces=FIRST, first_applied_at=None)
    rows = record(
        user=user(),
        subscription=subscription(SubscriptionStatus.ACTIVE),
        credentials=(coming, going),
    )

    decision = decide_move(rows, shop(node_1=Place(state=NodeState.DRAINING)), IDS)

    assert decision == NothingToMove()


def test_who_was_to_be_moved_to_a_node_that_goes_too_is_sent_on() -> None:
    going = credential(uuid=FIRST, node_id="node-1")
    coming = credential(
        uuid=SECOND, node_id="node-2", replaces=FIRST, first_applied_at=None, applied_gen=0
    )
    rows = record(
        user=user(),
        subscription=subscription(SubscriptionStatus.ACTIVE),
        credentials=(coming, going),
    )
    drained = Place(state=NodeState.DRAINING)

    change = moved(rows, shop(node_1=drained, node_2=Place(state=NodeState.LOST)))

    assert change.wishes == (
        RemovedCredential(uuid=SECOND, node_id="node-2"),
        NewCredential(uuid=FRESH, node_id="node-3", replaces=FIRST, origin=Origin.MOVE),
    )


@pytest.mark.parametrize(
    "others",
    [Place(users=10, capacity=10), Place(answers=False), Place(state=NodeState.DRAINING)],
    ids=["full", "away", "drained too"],
)
def test_nobody_is_moved_where_nobody_can_be_taken(others: Place) -> None:
    offers = shop(node_1=Place(state=NodeState.DRAINING), node_2=others, node_3=others)

    assert decide_move(served("node-1"), offers, IDS) == NowhereToGo()


def test_nobody_is_moved_out_of_the_nodes_of_their_plan() -> None:
    plan = PLAN.model_copy(update={"nodes": ("node-1",)})
    offers = shop(plan, node_1=Place(state=NodeState.DRAINING))

    assert decide_move(served("node-1"), offers, IDS) == NowhereToGo()


def test_who_is_elsewhere_or_was_shut_out_is_not_moved() -> None:
    offers = shop(node_1=Place(state=NodeState.DRAINING))

    assert decide_move(served("node-2"), offers, IDS) == NothingToMove()
    assert decide_move(served("node-1", desired=Desired.ABSENT), offers, IDS) == NothingToMove()
    assert decide_move(record(), offers, IDS) == NothingToMove()


@pytest.mark.parametrize("leaked", [False, True])
def test_a_new_link_is_made_where_the_only_node_was_lost_so_that_somebody_is_left_to_move(
    leaked: bool,
) -> None:
    gone = Place(state=NodeState.LOST)
    offers = shop(node_1=gone, node_2=gone, node_3=gone)

    change = decide_reissue(
        served("node-1"), Reissue(operation_id="new", leaked=leaked), offers, IDS
    )

    assert isinstance(change, AccessChange)
    assert [wish.node_id for wish in change.wishes if isinstance(wish, NewCredential)] == ["node-1"]


def test_who_is_let_back_while_every_node_is_lost_waits_with_a_key() -> None:
    gone = Place(state=NodeState.LOST)
    rows = record(
        user=user(),
        subscription=subscription(SubscriptionStatus.SUSPENDED, pending_s=60),
        credentials=(credential(uuid=FIRST, node_id="node-1", desired=Desired.ABSENT),),
    )
    act = ActDraft(
        operation_id="back", actor="me", action="restore", target="1", reason="", details={}
    )

    change = decide_standing(
        rows, Standing.RESTORED, act, shop(node_1=gone, node_2=gone, node_3=gone), IDS
    )

    assert isinstance(change, AccessChange)
    assert change.wishes == (RaisedCredential(uuid=FIRST, node_id="node-1"),)
