"""Owners steer nodes and the end of access from the chat; what is about many is asked twice."""

from typing import Any

import pytest
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendMessage

from actors.runtime.replies import Unavailable
from bot.callbacks import (
    ClocksConfirmed,
    NodeAct,
    NodeActConfirmed,
    NodesCompared,
    NodeShown,
    NodesShown,
)
from bot.node_views import ExpiryView
from bot.ports import OperationRefused
from bot.reports.clocks import mark_of
from tests.unit.bot.conftest import World, breaker, node_view, run
from tests.unit.bot.test_operators import WHO, pressed, said, wish

HELD = "the database's clock is +7200 s from the others"


def buttons(message: Any) -> list[str]:
    markup = message.reply_markup
    return [button.callback_data for row in markup.inline_keyboard for button in row]


def edited(world: World) -> str:
    [shown] = world.telegram.called(EditMessageText)
    return str(shown.text)


def under(words: str, reason: str) -> dict[str, Any]:
    """A question of ours, with the reason that it quotes."""
    text = f"{words}{reason}"
    quoted = {"type": "blockquote", "offset": len(words), "length": len(reason)}
    return {"text": text, "entities": [quoted]}


def answered(data: str, reason: str) -> dict[str, Any]:
    """An owner's second tap."""
    update = pressed(data)
    update["callback_query"]["message"] |= under("Sure? ", reason)
    return update


# Looking


async def test_nodes_are_listed_and_a_tap_leads_to_one(world: World) -> None:
    world.operations.answers["nodes"] = [node_view()]
    world.operations.answers["breakers"] = [breaker()]

    await world.feed(wish("/nodes"))

    assert "🟢 de-1: in use, it answers. Users 1,204, changes waiting 12." in said(world)
    [to_node] = buttons(world.telegram.called(SendMessage)[0])
    assert to_node == NodeShown(node="de-1").pack()

    await world.feed(pressed(to_node))
    assert "Nothing has to be done." in edited(world)


async def test_the_command_of_the_alert_is_answered(world: World) -> None:
    reason = "another database wrote to it"
    world.operations.answers["nodes"] = [node_view(state="frozen", reason=reason, orphans=25)]

    await world.feed(wish("/nodes de-1"))

    shown = said(world)
    assert reason in shown
    assert "nobody is removed from it" in shown
    assert "/nodes confirm de-1 25 reason" in shown
    compare, again, back = buttons(world.telegram.called(SendMessage)[0])
    assert compare == NodesCompared(node="de-1", really=False).pack()
    assert (again, back) == (NodeShown(node="de-1").pack(), NodesShown().pack())


async def test_a_tap_below_an_alert_leaves_the_alert_as_it_is(world: World) -> None:
    world.operations.answers["nodes"] = [node_view()]

    await world.feed(pressed(NodeShown(node="de-1", anew=True).pack()))

    assert "de-1" in said(world)
    assert not world.telegram.called(EditMessageText)


async def test_a_tap_leads_back_to_all_nodes(world: World) -> None:
    world.operations.answers["nodes"] = [node_view()]

    await world.feed(pressed(NodesShown().pack()))

    assert edited(world).startswith("Nodes: 1")


async def test_a_node_that_is_none_brings_those_that_are(world: World) -> None:
    world.operations.answers["nodes"] = [node_view(), node_view(id="nl-1")]

    await world.feed(wish("/nodes <b>"))

    assert said(world) == "✗ There is no node <b>. There are: de-1, nl-1."


# Acts


@pytest.mark.parametrize(
    ("words", "wished", "words_of_answer"),
    [
        ("freeze de-1 moving\nhouse", ("freeze", "de-1", WHO, "moving house"), "is frozen"),
        ("unfreeze de-1 looked", ("unfreeze", "de-1", WHO, "looked", False), "worked with"),
        ("adopt de-1 friends", ("unfreeze", "de-1", WHO, "friends", True), "and that stay: 25"),
        ("remove de-1 moved", ("remove", "de-1", WHO, "moved"), "used no more"),
        ("activate de-1 it is back", ("activate", "de-1", WHO, "it is back"), "in use"),
    ],
)
async def test_what_is_said_of_a_node_is_done(
    world: World, words: str, wished: tuple[object, ...], words_of_answer: str
) -> None:
    world.operations.answers["unfreeze"] = 25

    await world.feed(wish(f"/nodes {words}"))

    assert world.operations.wishes == [wished]
    assert words_of_answer in said(world)


@pytest.mark.parametrize(
    "text",
    [
        "/nodes freeze de-1",
        "/nodes unfreeze de-1",
        "/nodes adopt de-1",
        "/nodes confirm de-1 25",
        *(f"/nodes {verb} de-1" for verb in ("drain", "lost", "remove", "activate")),
        "/breaker isolate de-1",
        "/breaker isolate de-1 for 15m",
        "/breaker release de-1",
        "/expiry confirm",
    ],
)
async def test_without_a_reason_nothing_is_done_and_it_is_asked_for(
    world: World, text: str
) -> None:
    await world.feed(wish(text))

    assert said(world) == f"Say why, for the record: {text} reason"
    assert not world.operations.wishes


@pytest.mark.parametrize(
    "text",
    [
        "/nodes help",
        "/nodes freeze",
        "/nodes confirm de-1",
        "/nodes confirm de-1 many looked",
        f"/nodes confirm de-1 {10**8} looked",
        "/nodes de-1 please",
        "/reconcile help",
        "/reconcile de-1 now",
        "/breaker help",
        "/breaker isolate",
        "/breaker open de-1 x",
        "/expiry help",
    ],
)
async def test_words_that_mean_nothing_bring_the_words_that_do(world: World, text: str) -> None:
    await world.feed(wish(text))

    assert not world.operations.wishes
    assert f"{text.split(maxsplit=1)[0]} " in said(world)


async def test_removals_are_asked_about_by_the_number_that_there_is_now(world: World) -> None:
    world.operations.answers["reconcile"] = [run(outcome="would freeze", orphans=23)]

    await world.feed(wish("/nodes confirm de-1 25 I looked"))

    assert world.operations.wishes == [("reconcile", "de-1", True)]
    assert said(world).startswith("Remove 23 users from de-1?")
    assert said(world).endswith("I looked")
    yes, _ = buttons(world.telegram.called(SendMessage)[0])
    assert yes == NodeActConfirmed(act=NodeAct.CONFIRM, node="de-1", users=23).pack()


async def test_the_second_tap_removes_so_many_for_the_reason_in_the_question(world: World) -> None:
    world.operations.answers["confirm"] = run(outcome="mended", orphans=23, removed=23)
    yes = NodeActConfirmed(act=NodeAct.CONFIRM, node="de-1", users=23).pack()

    await world.feed(answered(yes, "I looked"))

    assert world.operations.wishes == [("confirm", "de-1", 23, WHO, "I looked")]
    assert "that were removed: 23" in edited(world)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (run(orphans=26), "/nodes confirm de-1 26 reason"),
        (run(orphans=0), "nobody to remove"),
        (run(outcome="away"), "it did not answer. Nothing was changed."),
    ],
    ids=["more than was said", "nobody", "away"],
)
async def test_nothing_is_asked_about_what_cannot_be(world: World, found: Any, words: str) -> None:
    world.operations.answers["reconcile"] = [found]

    await world.feed(wish("/nodes confirm de-1 25 looked"))

    assert words in said(world)
    assert not any("nodeyes" in data for data in buttons(world.telegram.called(SendMessage)[0]))


@pytest.mark.parametrize(
    ("verb", "method", "words"),
    [("drain", "drain", "is being emptied"), ("lost", "lose", "is given up")],
)
async def test_a_node_is_emptied_by_a_second_tap_that_names_how_many_move(
    world: World, verb: str, method: str, words: str
) -> None:
    world.operations.answers |= {"nodes": [node_view(users=1_204)], method: 1_204}

    await world.feed(wish(f"/nodes {verb} de-1 moving house"))

    assert "1,204 users" in said(world)
    yes, _ = buttons(world.telegram.called(SendMessage)[0])
    assert [wished[0] for wished in world.operations.wishes] == ["nodes"]

    await world.feed(answered(yes, "moving house"))

    assert world.operations.wishes[-1] == (method, "de-1", WHO, "moving house")
    assert words in edited(world)
    assert "1,204" in edited(world)


async def test_more_users_than_the_question_named_are_asked_about_again(world: World) -> None:
    world.operations.answers["nodes"] = [node_view(users=1_205)]
    yes = NodeActConfirmed(act=NodeAct.DRAIN, node="de-1", users=1_204).pack()

    await world.feed(answered(yes, "moving"))

    assert world.operations.wishes == [("nodes",)]
    assert "1,205" in edited(world)
    assert "moving" in edited(world)


async def test_a_node_that_is_none_is_not_asked_about(world: World) -> None:
    world.operations.answers["nodes"] = [node_view()]

    await world.feed(wish("/nodes drain nl-1 moving"))

    assert said(world) == "✗ There is no node nl-1. There are: de-1."


# Comparing


@pytest.mark.parametrize(("words", "node"), [("", None), (" de-1", "de-1")])
async def test_comparing_looks_first_and_a_tap_mends(
    world: World, words: str, node: str | None
) -> None:
    world.operations.answers["reconcile"] = [run(outcome="differs", missing=3)]
    world.operations.answers["nodes"] = [node_view()]

    await world.feed(wish(f"/reconcile{words}"))

    assert "nothing was changed" in said(world)
    mend = buttons(world.telegram.called(SendMessage)[0])[0]
    mended = run(outcome="mended", missing=3, raised=3, dry_run=False)
    world.operations.answers["reconcile"] = [mended]
    await world.feed(pressed(mend))

    looks = [wished for wished in world.operations.wishes if wished[0] == "reconcile"]
    assert looks == [("reconcile", node, True), ("reconcile", node, False)]
    assert "Asked for again 3" in edited(world)


async def test_comparing_from_a_page_leaves_the_page(world: World) -> None:
    world.operations.answers["reconcile"] = [run()]
    world.operations.answers["nodes"] = [node_view()]

    await world.feed(pressed(NodesCompared(node="de-1", really=False).pack()))

    assert ("reconcile", "de-1", True) in world.operations.wishes
    assert "Nothing has to be done." in said(world)


# Calls


@pytest.mark.parametrize(
    ("words", "wished"),
    [
        ("isolate de-1 for 15m moving", ("isolate", 900.0, "moving")),
        ("isolate de-1 15m moving", ("isolate", 900.0, "moving")),
        ("isolate de-1 for ever and a day", ("isolate", None, "for ever and a day")),
        ("close de-1 it lies", ("close", None, "it lies")),
        ("release de-1 15m it is back", ("release", None, "15m it is back")),
    ],
)
async def test_a_breaker_is_ordered_for_good_or_for_a_time(
    world: World, words: str, wished: tuple[str, float | None, str]
) -> None:
    world.operations.answers["order"] = breaker(state="isolated")
    order, for_s, reason = wished

    await world.feed(wish(f"/breaker {words}"))

    assert world.operations.wishes == [("order", "de-1", order, for_s, WHO, reason)]
    assert "de-1" in said(world)


async def test_breakers_are_listed(world: World) -> None:
    world.operations.answers["breakers"] = [breaker(), breaker(node="nl-1", key_refused=True)]

    await world.feed(wish("/breaker"))

    assert said(world).splitlines() == [
        "de-1: it answers. Calls at a time: 8.",
        "nl-1: it takes none of our keys. Calls at a time: 8.",
    ]


async def test_a_time_that_is_too_long_is_refused(world: World) -> None:
    await world.feed(wish("/breaker isolate de-1 for 99d moving"))

    assert said(world) == "✗ 99d: a span from 1s to 30d"
    assert not world.operations.wishes


# The end of access


async def test_the_end_of_access_is_confirmed_by_a_second_tap(world: World) -> None:
    world.operations.answers["expiry"] = ExpiryView(ended=3, reminded=12, held=HELD)

    await world.feed(wish("/expiry confirm I looked"))

    assert HELD in said(world)
    yes, _ = buttons(world.telegram.called(SendMessage)[0])
    assert ("trust_clocks", WHO, "I looked") not in world.operations.wishes

    await world.feed(answered(yes, "I looked"))

    assert world.operations.wishes[-1] == ("trust_clocks", WHO, "I looked")
    assert "Access ends again" in edited(world)


async def test_a_tap_on_an_old_question_is_no_word_about_another_hold(world: World) -> None:
    world.operations.answers["expiry"] = ExpiryView(ended=3, reminded=12, held="another " + HELD)

    await world.feed(answered(ClocksConfirmed(held=mark_of(HELD)).pack(), "I looked"))

    assert world.operations.wishes == [("expiry",)]
    assert "another" in edited(world)
    [question] = world.telegram.called(EditMessageText)
    assert buttons(question)[0] == ClocksConfirmed(held=mark_of("another " + HELD)).pack()


@pytest.mark.parametrize("text", ["/expiry", "/expiry confirm looked"])
async def test_when_nothing_is_held_there_is_nothing_to_confirm(world: World, text: str) -> None:
    world.operations.answers["expiry"] = ExpiryView(ended=3, reminded=12, held="")

    await world.feed(wish(text))

    assert "ended 3, reminded 12" in said(world)


@pytest.mark.parametrize("name", ["expiry.enabled", "expiry.reminders"])
async def test_what_is_switched_off_is_not_called_as_it_should_be(world: World, name: str) -> None:
    world.operations.answers["expiry"] = ExpiryView(ended=3, reminded=12, held="", off=(name,))

    await world.feed(wish("/expiry"))

    assert f"/policy set {name} on" in said(world)


async def test_what_holds_the_end_of_access_is_told(world: World) -> None:
    world.operations.answers["expiry"] = ExpiryView(ended=3, reminded=12, held=HELD)

    await world.feed(wish("/expiry"))

    shown = said(world)
    assert HELD in shown
    assert "nobody loses access" in shown
    assert "/expiry confirm reason" in shown


# What cannot be


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("/nodes", "nodes"),
        ("/nodes de-1", "nodes"),
        ("/nodes freeze de-1 x", "freeze"),
        ("/nodes unfreeze de-1 x", "unfreeze"),
        ("/nodes confirm de-1 25 x", "reconcile"),
        ("/reconcile", "reconcile"),
        ("/breaker release de-1 x", "order"),
        ("/expiry", "expiry"),
    ],
)
@pytest.mark.parametrize(
    ("error", "words"),
    [(OperationRefused("<b>no</b>"), "✗ <b>no</b>"), (Unavailable("x"), "come back in a minute")],
    ids=["refused", "outage"],
)
async def test_a_refusal_and_an_outage_are_told(
    world: World, text: str, method: str, error: Exception, words: str
) -> None:
    world.operations.answers[method] = error

    await world.feed(wish(text))

    assert words in said(world)


async def test_a_second_tap_that_is_refused_leaves_the_question(world: World) -> None:
    world.operations.answers["confirm"] = OperationRefused("de-1 is not frozen")

    yes = NodeActConfirmed(act=NodeAct.CONFIRM, node="de-1", users=25).pack()
    await world.feed(answered(yes, "looked"))

    assert said(world) == "✗ de-1 is not frozen"
    assert len(world.telegram.called(AnswerCallbackQuery)) == 1
    assert not world.telegram.called(EditMessageText)
