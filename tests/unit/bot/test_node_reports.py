"""Whoever is woken by a node reads what happened, what is safe, what to check and what ends it."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from actors.provisioner.decisions import sign_of_restore
from actors.reconciler.decisions import ReconcilerLimits, why_not_removed
from bot.callbacks import (
    ClocksConfirmed,
    NodeAct,
    NodeActConfirmed,
    NodesCompared,
    NodeShown,
)
from bot.keyboards import Button
from bot.node_views import BreakerView, ExpiryView, NodeView
from bot.replies import Reply
from bot.reports import calls, clocks, comparisons, nodes
from bot.reports.alerts import OF_NODES, alert
from bot.reports.frozen import KINDS, OTHER, kind_of
from bot.routers.admin import calls as calls_router
from bot.routers.admin import comparing as comparing_router
from bot.routers.admin import expiry as expiry_router
from bot.routers.admin import nodes as nodes_router
from bot.texts import LANGUAGES, Texts
from storage.rows import ComparisonBasis, NodeRow, NodeState, ReconcileRun
from tests.unit.bot.conftest import NOW, breaker, node_view, run
from tests.unit.bot.test_reports import messages_of, notice, shown
from xray_api.contract import WriterMark

BACKUP = "it has seen writing that this database does not know; was a backup restored?"
LIMITS = ReconcilerLimits()
REASONS = {
    BACKUP: "backup",
    "it has seen newer wishes for 3 keys than were ever made": "backup",
    "it has seen generation 7 of a key, we 5": "backup",
    "another database wrote to it": "foreign",
    "it has 1204 users, and this database never had any there": "strangers",
    "25 of its 1204 users should not be there, and 20 may go at once": "many",
    "moving house": OTHER,
    "by an operator": OTHER,
}
FROZEN = node_view(state="frozen", reason=BACKUP, changed_by="tollgate", orphans=25)
HELD = ExpiryView(ended=3, reminded=12, held="the database's clock is +7200 s from the others")
STATES = [NodeState.ACTIVE, NodeState.DRAINING, NodeState.LOST, NodeState.REMOVED]
OUTCOMES = [
    *("equal", "differs", "mended", "watched", "frozen", "would freeze", "met"),
    *("another store", "older store", "away", "key refused", "gone", "of tomorrow"),
]


def page(view: NodeView, *breakers: BreakerView) -> Reply:
    return nodes.node([view], breakers or [breaker()], view.id)


def listed(
    found: list[NodeView], breakers: list[BreakerView], texts: Texts, language: str
) -> Reply:
    return nodes.nodes(found, breakers, texts, language)


def everything(texts: Texts, language: str) -> list[Reply]:
    """Each text for owners about nodes, at least once, and the longest that can be."""
    crowd = [node_view(id=f"n{number:031}", reason="&" * 9_999) for number in range(300)]
    runs = [run(node_id=one.id, why="<" * 999, orphans=9) for one in crowd]
    uuids = tuple(str(uuid4()) for _ in range(10))
    one = run(raised=1, removed=2, dry_run=False, sample=uuids)
    return [
        nodes.nodes([], [], texts, language),
        nodes.nodes([node_view(), FROZEN], [breaker()], texts, language),
        nodes.nodes(crowd, [], texts, language),
        nodes.node(crowd, [], "<b>" * 999),
        *(
            page(replace(FROZEN, reason=reason + "<b>", orphans=n))
            for reason in REASONS
            for n in (0, 25)
        ),
        page(replace(FROZEN, reason="<&" * 9_999, changed_by="<&" * 9_999)),
        *(page(node_view(state=state, reason="<&" * 9_999, capacity=5_000)) for state in STATES),
        *(page(node_view(), breaker(state=state)) for state in ("open", "half_open", "isolated")),
        *(page(node_view(), breaker(state=state)) for state in ("held_closed", "closed")),
        page(node_view(), breaker(key_refused=True)),
        page(node_view(set_aside=2)),
        nodes.node([node_view()], [], "de-1"),
        *(page(node_view(last_outcome=outcome)) for outcome in (None, *OUTCOMES)),
        *(nodes.done(text_id, "de-1", 1_204) for text_id in DONE),
        *(nodes.question(act, "de-1", 1_204, "&" * 9_999) for act in NodeAct),
        nodes.more_than_said("de-1", 1_204, 25),
        nodes.not_compared("de-1", "key refused"),
        nodes_router.USAGE,
        nodes_router.say_why("nodes", ["freeze", "<b>" * 999]),
        comparisons.compared([], (), None, texts, language),
        comparisons.compared([run()], (), None, texts, language),
        comparisons.compared(runs, {runs[0].node_id}, None, texts, language),
        comparisons.compared([run(outcome="away")], (), "de-1", texts, language),
        comparisons.compared([one], (), "de-1", texts, language),
        comparisons.compared([run(outcome="differs", missing=3)], (), None, texts, language),
        comparing_router.USAGE,
        calls.breakers([], texts, language),
        calls.breakers(
            [breaker(node=v.id, away_s=90, next_probe_s=9.5) for v in crowd], texts, language
        ),
        *(calls.ordered(breaker(), "isolate", for_s, texts, language) for for_s in (None, 900.0)),
        *(calls.ordered(breaker(), order, None, texts, language) for order in ("close", "release")),
        calls_router.USAGE,
        clocks.expiry(HELD),
        clocks.expiry(replace(HELD, held="")),
        clocks.expiry(replace(HELD, held="", off=("expiry.enabled",))),
        clocks.expiry(replace(HELD, held="", off=("expiry.reminders",))),
        clocks.expiry(replace(HELD, held="<&" * 9_999)),
        clocks.question(HELD, "<&" * 9_999),
        clocks.CONFIRMED,
        expiry_router.USAGE,
    ]


#: What is told of an act that was done.
DONE = (
    "node-is-frozen",
    "node-is-unfrozen",
    "node-is-adopted",
    "node-is-confirmed",
    "node-nobody-to-remove",
    "node-is-drain",
    "node-is-lost",
    "node-is-removed",
    "node-is-active",
)
#: What stands within other texts only.
WITHIN = frozenset(
    {
        *("node-state", "node-calls", "node-outcome", "node-cause", "node-check", "node-safe"),
        "node-users",
        *("node-figures", "node-advice", "node-line", "compared-line", "compared-done"),
        *("compared-who", "breaker-line", "breaker-away", "breaker-next", "breaker-pace"),
        *("breaker-for", "breaker-until-released"),
    }
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_report_has_words_and_fits(texts: Texts, language: str) -> None:
    for reply in everything(texts, language):
        assert shown(reply, texts, language)


def test_every_text_about_nodes_is_in_the_table(texts: Texts) -> None:
    known = {entry.id.name for entry in messages_of("nodes.ftl")}
    drawn = {text_id for text_id in known if text_id.startswith(("button-", "command-"))}
    told = {reply.text_id for reply in everything(texts, "en")}
    assert told == known - drawn - WITHIN


@pytest.mark.parametrize(("reason", "kind"), REASONS.items())
def test_the_program_s_reasons_have_advice(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_every_reason_that_a_comparison_finds_is_known() -> None:
    database = uuid4()
    node = NodeRow(id="de-1", state=NodeState.ACTIVE, epoch=uuid4(), writer_seq=5, reason="")
    basis = ComparisonBasis(node=node, at=NOW, database_id=database, accepted_writer=None)

    found = [
        sign_of_restore(basis, WriterMark(db_id=str(uuid4()), seq=5), 5),
        sign_of_restore(basis, WriterMark(db_id=str(database), seq=9), 5),
        why_not_removed(9, 9, 0, LIMITS, known=False),
        why_not_removed(3, 100, 97, LIMITS, known=True, keyless=2),
        why_not_removed(25, 100, 75, LIMITS, known=True),
        why_not_removed(3, 100, 97, LIMITS, known=True, lately=18),
    ]

    kinds = ["foreign", "backup", "strangers", "backup", "many", "many"]
    assert [kind_of(reason) for reason in found] == kinds


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_reason_has_words_of_its_own(texts: Texts, language: str) -> None:
    kinds = [kind for kind, _ in KINDS] + [OTHER]
    for text_id in ("node-cause", "node-check"):
        assert len({texts.get(text_id, language, cause=kind) for kind in kinds}) == len(kinds)


def test_the_page_of_a_frozen_node_says_all_that_a_woken_person_needs(texts: Texts) -> None:
    told = shown(page(FROZEN), texts, "en")

    assert told.replace("\N{EN DASH}", "-") == (
        "🧊 de-1 is frozen since 24 December 2026, 15:04 UTC (the program):\n"
        f"{BACKUP}\n\n"
        "It has seen changes that our database does not know. So the database was probably "
        "restored from a backup.\n\n"
        "✅ Safe meanwhile: nobody is removed from it, buying and renewing go on. Whose time ends "
        "there, or who is banned, stays in until you decide.\n\n"
        "🔎 Was the database restored? Payments since the backup are looked for at Stars and "
        "Crypto Pay again by themselves: give that ten minutes, then see /held. Cards and "
        "transfers are not: go through them by hand.\n\n"
        "Then end it, with your reason:\n"
        "/nodes unfreeze de-1 reason - the database is right; a few users without a right go by "
        "themselves, more freeze it again\n"
        "/nodes adopt de-1 reason - the node is right; all its users stay\n"
        "/nodes confirm de-1 25 reason - 25 users without a right go at once; you are asked again"
        "\n\n"
        "Users: 1,204, moving away: 0. Changes waiting: 12, set aside: 0\n"
        "Calls: it answers\n"
        "Last comparison: equal; missing 0, without a right 25"
    )


def test_a_number_to_be_typed_has_no_marks_of_thousands(texts: Texts) -> None:
    many = shown(page(replace(FROZEN, orphans=1_204)), texts, "en")
    assert "/nodes confirm de-1 1204 reason" in many
    assert "confirm de-1 1204 reason" in shown(nodes.more_than_said("de-1", 1_204, 9), texts, "en")


def test_before_anybody_compared_the_number_is_to_be_found_out(texts: Texts) -> None:
    told = shown(page(replace(FROZEN, orphans=0)), texts, "en")
    assert "/nodes confirm de-1 N reason" in told
    assert "their number: tap Compare" in told


@pytest.mark.parametrize(
    ("view", "breakers", "words"),
    [
        (node_view(), [breaker()], "Nothing has to be done."),
        (node_view(), [breaker(state="open")], "what waits goes as soon as it answers"),
        (node_view(), [breaker(state="half_open")], "what waits goes as soon as it answers"),
        (node_view(), [breaker(state="isolated")], "/breaker release de-1 reason"),
        (node_view(), [breaker(state="held_closed")], "/breaker release de-1 reason"),
        (node_view(), [breaker(key_refused=True)], "Mend api_keys"),
        (node_view(), [], "It is in no settings"),
        (node_view(set_aside=1), [breaker()], "does not take some keys"),
        (node_view(state="draining"), [breaker()], "/nodes activate de-1 reason"),
        (node_view(state="lost"), [breaker(state="open")], "Once it is back"),
        (node_view(state="removed"), [], "Nobody is served there"),
    ],
)
def test_a_node_s_page_says_what_is_most_urgent(
    texts: Texts, view: NodeView, breakers: list[BreakerView], words: str
) -> None:
    assert words in shown(nodes.node([view], breakers, "de-1"), texts, "en")


def test_nodes_to_be_looked_at_come_first_and_each_has_a_button(texts: Texts) -> None:
    found = [
        node_view(id="a-well"),
        node_view(id="b-lost", state="lost"),
        node_view(id="c-away"),
        node_view(id="d-slow"),
        replace(FROZEN, id="e-frozen"),
    ]
    breakers = [
        breaker(node="a-well"),
        breaker(node="c-away", state="open"),
        breaker(node="d-slow", state="isolated"),
        breaker(node="e-frozen"),
    ]

    reply = nodes.nodes(found, breakers, texts, "en")

    lines = shown(reply, texts, "en").splitlines()
    assert lines[0] == "Nodes: 5, to look at: 3"
    assert [line.split(":")[0] for line in lines[2:7]] == [
        "🧊 e-frozen",
        "🔴 c-away",
        "🟡 d-slow",
        "🟢 a-well",
        "⚫ b-lost",
    ]
    tapped = [
        button.callback for row in reply.keyboard for button in row if isinstance(button, Button)
    ]
    assert tapped[0] == NodeShown(node="e-frozen")
    assert len(tapped) == 5


def test_more_nodes_than_fit_are_counted_and_a_keyboard_is_not_overfull(texts: Texts) -> None:
    crowd = [node_view(id=f"node-{number}") for number in range(300)]
    reply = nodes.nodes(crowd, [], texts, "en")
    assert "… and " in shown(reply, texts, "en")
    assert sum(len(row) for row in reply.keyboard) <= 100


# Comparing


def button_of(reply: Reply, number: int = 0) -> Button:
    button = reply.keyboard[number][0]
    assert isinstance(button, Button)
    return button


def test_a_look_offers_to_mend_what_differs_and_names_how_many(texts: Texts) -> None:
    runs = [run(outcome="differs", missing=3, orphans=2), run(node_id="nl-1")]

    reply = comparisons.compared(runs, (), None, texts, "en")

    mend = button_of(reply)
    assert mend.callback == NodesCompared(node="*", really=True)
    assert texts.get(mend.text_id, "en", **mend.values) == "▶️ Mend: 3 missing, 2 without a right"
    told = shown(reply, texts, "en").splitlines()
    assert told[0] == "🔎 Only looked, nothing was changed:"
    assert told[2] == "de-1: differs. There 100, wanted 100, missing 3, without a right 2."


@pytest.mark.parametrize(
    "found",
    [run(), run(outcome="mended", missing=3, raised=3, dry_run=False), run(outcome="away")],
    ids=["equal", "mended", "away"],
)
def test_nothing_is_offered_where_there_is_nothing_to_mend(
    texts: Texts, found: ReconcileRun
) -> None:
    reply = comparisons.compared([found], (), None, texts, "en")
    assert not reply.keyboard


def test_a_frozen_node_is_only_offered_whom_it_misses(texts: Texts) -> None:
    found = run(outcome="would freeze", missing=3, orphans=25, why=BACKUP)

    reply = comparisons.compared([found], {"de-1"}, "de-1", texts, "en")

    assert button_of(reply).values == {"missing": 3, "found": 0}
    assert button_of(reply, 1).callback == NodeShown(node="de-1", anew=True)
    told = shown(reply, texts, "en")
    assert told.splitlines()[2].startswith("de-1: differs. There 100")
    assert "Nobody is removed from a frozen node. What to do: /nodes de-1" in told
    only = comparisons.compared([replace(found, missing=0)], {"de-1"}, "de-1", texts, "en")
    assert button_of(only).callback == NodeShown(node="de-1", anew=True)


def test_a_uuid_is_a_key_and_is_not_shown_whole(texts: Texts) -> None:
    uuid = str(uuid4())
    told = shown(comparisons.compared([run(sample=(uuid,))], (), None, texts, "en"), texts, "en")
    assert uuid[:8] in told
    assert uuid[:9] not in told


# Calls, and the end of access


def test_a_node_that_is_away_says_since_when_and_when_it_is_asked(texts: Texts) -> None:
    found = [breaker(state="open", away_s=600.0, next_probe_s=12.0, at_a_time=1)]
    told = shown(calls.breakers(found, texts, "en"), texts, "en")
    assert told == (
        "de-1: it does not answer. Away for 10 minutes. Asked again in 12s. Calls at a time: 1."
    )


@pytest.mark.parametrize(("for_s", "words"), [(None, "until it is released"), (900.0, "for 15m")])
def test_an_order_says_how_long_it_holds_and_what_ends_it(
    texts: Texts, for_s: float | None, words: str
) -> None:
    told = shown(calls.ordered(breaker(), "isolate", for_s, texts, "en"), texts, "en")
    assert f"is not called {words}." in told
    assert told.endswith("/breaker release de-1 reason")


def test_a_question_about_the_time_is_about_what_holds_it_now() -> None:
    ((button,), _) = clocks.question(HELD, "looked").keyboard
    assert isinstance(button, Button)
    assert button.callback == ClocksConfirmed(held=clocks.mark_of(HELD.held))
    assert clocks.mark_of(HELD.held) != clocks.mark_of(HELD.held.replace("7200", "86400"))


def test_a_second_tap_names_how_many(texts: Texts) -> None:
    reply = nodes.question(NodeAct.CONFIRM, "de-1", 1_204, "looked")
    assert button_of(reply).callback == NodeActConfirmed(
        act=NodeAct.CONFIRM, node="de-1", users=1_204
    )
    assert texts.get(button_of(reply).text_id, "en", users=1_204) == "🗑 Yes, remove 1,204"
    assert shown(reply, texts, "en").startswith("Remove 1,204 users from de-1?")


# Alerts


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_alert_of_a_frozen_node_says_enough_by_itself(texts: Texts, language: str) -> None:
    reply = alert(notice("alert-node-frozen", node="de-1", reason=BACKUP))
    told = shown(reply, texts, language)

    for text_id in ("node-cause", "node-safe"):
        assert texts.get(text_id, language, cause="backup") in told
    assert BACKUP in told
    assert "/nodes de-1" in told
    assert button_of(reply).callback == NodeShown(node="de-1", anew=True)


@pytest.mark.parametrize("text_id", sorted(OF_NODES))
def test_an_alert_about_a_node_leads_to_its_page(text_id: str) -> None:
    told = {"node": "de-1", "away_s": 60, "reason": "x", "for_s": 900, "error": "x"}
    assert button_of(alert(notice(text_id, **told))).callback == NodeShown(node="de-1", anew=True)
    for made_up in ("", "De", "a:b", "a" * 33, None):
        assert not alert(notice(text_id, **(told | {"node": made_up}))).keyboard


def test_a_span_of_an_alert_is_a_span(texts: Texts) -> None:
    assert texts.get("breaker-away", "en", time=timedelta(minutes=5)) == "Away for 5 minutes."


def test_what_the_last_comparison_said_is_told_once(texts: Texts) -> None:
    why = "25 of its 1204 users should not be there, and 20 may go at once"
    seen = node_view(last_outcome="would freeze", last_why=why)
    assert shown(page(seen), texts, "en").count(why) == 1
    assert shown(page(replace(FROZEN, reason=why, last_why=why)), texts, "en").count(why) == 1
