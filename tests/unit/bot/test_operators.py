"""Owners see and do; nobody else learns that there is anything to see."""

from datetime import timedelta
from typing import Any

import pytest
from aiogram import Bot
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendMessage

from actors.runtime.inspection import ActorDetails, ActorState
from actors.runtime.replies import Unavailable
from actors.user.messages import Introduce
from bot.callbacks import (
    ClocksConfirmed,
    LetterDecided,
    LetterDecision,
    NodeAct,
    NodeActConfirmed,
    NodesCompared,
    NodeShown,
    NodesShown,
    PolicyUndo,
)
from bot.dispatcher import build_dispatcher
from bot.gateways.payload import PayloadSigner
from bot.ports import OperationRefused
from bot.sandbox.entities import formatted, units
from bot.texts import Texts
from config.plans import Plans
from config.tuning import Forecast, Tunable
from tests.unit.bot.conftest import (
    BUYER,
    NODES_NOW,
    NOW,
    OWNER,
    FakeQueries,
    FakeTelegram,
    FakeUsers,
    World,
    change,
    dead_letter,
    message,
    person,
    status,
    tap,
    view,
)

METHOD = SendMessage(chat_id=OWNER, text="x")
WHO = f"telegram:{OWNER}"
UNDO = PolicyUndo(change_id=12).pack()
RETRY = LetterDecided(decision=LetterDecision.RETRY, letter_id=12).pack()
DROP = LetterDecided(decision=LetterDecision.DROP, letter_id=12).pack()
OF_NODES = (
    NodesShown().pack(),
    NodeShown(node="de-1").pack(),
    NodesCompared(node="*", really=True).pack(),
    *(NodeActConfirmed(act=act, node="de-1", users=25).pack() for act in NodeAct),
    ClocksConfirmed(held="0" * 16).pack(),
)
COMMANDS = (
    "/policy",
    "/policy history",
    "/policy set users.max_restarts 5 15m because",
    "/policy help",
    "/actors",
    "/actor notifier",
    "/actor restart notifier",
    "/dl",
    "/dl show 12",
    "/dl drop 12",
    "/nodes",
    "/nodes de-1",
    "/nodes freeze de-1 moving",
    "/nodes confirm de-1 25 looked",
    "/nodes drain de-1 moving",
    "/nodes remove de-1 moved",
    "/reconcile",
    "/breaker",
    "/breaker isolate de-1 moving",
    "/expiry",
    "/expiry confirm looked",
)
POLICIES = [
    Tunable(key="root.max_restarts", value=3, default=3, bounds="whole numbers 0 to 1000"),
    Tunable(key="users.max_restarts", value=5, default=6, bounds="whole numbers 0 to 1000"),
    Tunable(key="users.window_s", value=60.0, default=60.0, bounds="above 0 to 86400"),
]


def wish(text: str, **changes: Any) -> dict[str, Any]:
    """An owner's message."""
    return message(text, sender=person(OWNER), **changes)


def pressed(data: str) -> dict[str, Any]:
    """An owner's tap."""
    return tap(data, sender=person(OWNER))


def said(world: World) -> str:
    """The text of the one message that was sent, as Telegram shows it."""
    [sent] = world.telegram.called(SendMessage)
    assert sent.chat_id == OWNER
    text = formatted(sent.text, "HTML", None).text
    assert units(text) <= 4096
    return text


# Policies


async def test_policies_are_listed_and_changed_ones_say_what_the_file_says(world: World) -> None:
    world.operations.answers["policies"] = POLICIES

    await world.feed(wish("/policy"))

    assert said(world).splitlines()[:5] == [
        "root",
        "  max_restarts   3",
        "users",
        "* max_restarts   5 (file 6)",
        "  window_s       60",
    ]


async def test_one_group_of_policies_is_listed_with_its_bounds(world: World) -> None:
    world.operations.answers["policies"] = POLICIES

    await world.feed(wish("/policy users"))

    shown = said(world)
    assert "* max_restarts   5 (file 6) [whole numbers 0 to 1000]" in shown
    assert "root" not in shown


async def test_a_group_that_is_none_brings_the_groups(world: World) -> None:
    world.operations.answers["policies"] = POLICIES

    await world.feed(wish("/policy <b>"))

    assert said(world) == "There is no group <b>. There are: root, users."


@pytest.mark.parametrize(
    ("words", "reason", "revert_after_s"),
    [
        ("", "", None),
        (" 15m", "", 900.0),
        (" 15m because it flaps", "because it flaps", 900.0),
        (" because it\nflaps", "because it flaps", None),
        (" 3 users complained", "3 users complained", None),
        (" 2H night", "night", 7200.0),
    ],
)
async def test_a_policy_is_changed_for_good_or_for_a_time(
    world: World, words: str, reason: str, revert_after_s: float | None
) -> None:
    world.operations.answers["set_policy"] = change()

    await world.feed(wish(f"/policy set users.max_restarts 5{words}"))

    changed = ("set_policy", "users.max_restarts", "5", WHO, reason, revert_after_s)
    assert world.operations.wishes == [changed]


@pytest.mark.parametrize(
    ("revert_at", "shown"),
    [
        (None, "users.max_restarts: 6 → 5"),
        (NOW + timedelta(minutes=15), "users.max_restarts: 6 → 5 until 15:19:00 UTC"),
        (
            NOW + timedelta(days=2),
            "users.max_restarts: 6 → 5 until 26 December 2026, 15:04 UTC",
        ),
    ],
)
async def test_a_change_is_answered_by_what_it_was_and_a_way_back(
    world: World, revert_at: object, shown: str
) -> None:
    world.operations.answers["set_policy"] = change(revert_at=revert_at)

    await world.feed(wish("/policy set users.max_restarts 5 15m"))

    assert said(world) == shown
    [[button]] = world.telegram.called(SendMessage)[0].reply_markup.inline_keyboard
    assert (button.text, button.callback_data) == ("↩ Undo", UNDO)


async def test_a_tap_on_undo_takes_the_change_back(world: World) -> None:
    world.operations.answers["undo_policy"] = change(id=13, old=5, new=6, undoes=12)

    await world.feed(pressed(UNDO))

    assert world.operations.wishes == [("undo_policy", 12, WHO, "")]
    answered, edited = world.telegram.calls
    assert isinstance(answered, AnswerCallbackQuery)
    assert isinstance(edited, EditMessageText)
    assert (edited.text, edited.reply_markup) == ("↩ users.max_restarts: 5 → 6", None)


async def test_a_change_is_taken_back_by_its_number_too(world: World) -> None:
    world.operations.answers["undo_policy"] = change(revert_at=NOW + timedelta(minutes=3))

    await world.feed(wish("/policy undo #12 a slip"))

    assert world.operations.wishes == [("undo_policy", 12, WHO, "a slip")]
    assert said(world) == "↩ users.max_restarts: 6 → 5 until 15:07:00 UTC"


async def test_a_change_can_be_tried_first(world: World) -> None:
    world.operations.answers["try_policy"] = Forecast(
        key="users.max_restarts",
        old=6,
        new=5,
        within_s=3600.0,
        restarts=12,
        actors=3,
        too_many_before=0,
        too_many_after=2,
    )

    await world.feed(wish("/policy try users.max_restarts 5"))

    shown = said(world)
    assert world.operations.wishes == [("try_policy", "users.max_restarts", "5")]
    assert "nothing was changed" in shown
    assert "Within 1 hour: restarts 12, actors 3" in shown
    assert shown.endswith("0 → 2")


async def test_the_history_of_policies_says_who_and_why(world: World) -> None:
    timed = change(id=13, revert_at=NOW + timedelta(minutes=15), old=None)
    undo = change(id=14, old=5, new=None, undoes=13, actor="timer", reason="")
    world.operations.answers["policy_history"] = [undo, timed, change()]

    await world.feed(wish("/policy history"))

    assert said(world).splitlines()[:3] == [
        "#14 2026-12-24 15:04 users.max_restarts 5 → file timer undoes #13",
        "#13 2026-12-24 15:04 users.max_restarts file → 5 for 15m telegram:1 it flaps",
        "#12 2026-12-24 15:04 users.max_restarts 6 → 5 telegram:1 it flaps",
    ]


async def test_an_empty_history_says_so(world: World) -> None:
    world.operations.answers["policy_history"] = []

    await world.feed(wish("/policy history"))

    assert said(world) == "No policy was changed yet."


# Actors


async def test_the_tree_shows_trouble_first(world: World) -> None:
    parked = view(
        "user/77", state=ActorState.PARKED, restarts=6, last_error="KeyError", back_in_s=240.0
    )
    users = view("users/3", strategy="one_for_one", children=(view("user/1"), parked), more=80)
    world.operations.answers["tree"] = view(
        "root", strategy="rest_for_one", children=(view("notifier"), users)
    )

    await world.feed(wish("/actors"))

    assert said(world).splitlines() == [
        "Actors: 85, in trouble: 1",
        "· root rest_for_one",
        " · users/3 one_for_one",
        "  ! user/77 parked back in 4m restarts 6/5 (KeyError)",
        "  · user/1",
        " · notifier",
        "… and 80 more, in trouble among them: 0",
    ]


async def test_a_look_inside_an_actor(world: World) -> None:
    world.operations.answers["look"] = ActorDetails(
        view=view("notifier", inbox=2, oldest_s=4.0), supervisor="root", state={"<i>": "<b>"}
    )

    await world.feed(wish("/actor notifier"))

    shown = said(world)
    assert world.operations.wishes == [("look", "notifier")]
    assert "inbox      2, oldest 4s" in shown
    assert "<i> = <b>" in shown


@pytest.mark.parametrize(
    ("words", "wished", "answer"),
    [
        ("suspend notifier a test", ("suspend", "notifier", WHO, "a test"), "wait until"),
        ("resume notifier", ("resume", "notifier", WHO, ""), "let through"),
        ("restart user/77 it\nhangs", ("restart", "user/77", WHO, "it hangs", False), "in hand"),
        ("restart user/77 now it hangs", ("restart", "user/77", WHO, "it hangs", True), "at once"),
    ],
)
async def test_what_can_be_done_to_an_actor(
    world: World, words: str, wished: tuple[object, ...], answer: str
) -> None:
    world.operations.answers[str(wished[0])] = None

    await world.feed(wish(f"/actor {words}"))

    assert world.operations.wishes == [wished]
    assert answer in said(world)


async def test_owners_cannot_shut_the_ear_that_hears_them(world: World) -> None:
    await world.feed(wish("/actor suspend inbox a test"))

    assert world.operations.wishes == []
    assert "tollgate actor suspend inbox" in said(world)


# Dead letters


@pytest.mark.parametrize("command", ["/dl", "/dl list"])
async def test_dead_letters_are_listed(world: World, command: str) -> None:
    world.operations.answers["dead_letters"] = [dead_letter()]

    await world.feed(wish(command))

    shown = said(world)
    assert "#12 12-24 15:04 CreditPayment to user/77: KeyError x3" in shown
    assert shown.endswith("/dl show 12")


async def test_no_dead_letter_is_good_news(world: World) -> None:
    world.operations.answers["dead_letters"] = []

    await world.feed(wish("/dl"))

    assert said(world) == "No message waits for a decision."


async def test_a_dead_letter_is_shown_with_its_error_and_what_can_be_done(world: World) -> None:
    world.operations.answers["dead_letter"] = dead_letter()

    await world.feed(wish("/dl show #12"))

    shown = said(world)
    assert world.operations.wishes == [("dead_letter", 12)]
    assert shown.startswith("#12 CreditPayment to user/77\nWaits for a decision")
    assert shown.endswith("KeyError: 'x'")
    keyboard = world.telegram.called(SendMessage)[0].reply_markup.inline_keyboard
    assert [[button.callback_data for button in row] for row in keyboard] == [[RETRY], [DROP]]


@pytest.mark.parametrize(("state", "words"), [("retried", "sent again"), ("dropped", "dropped")])
async def test_a_letter_that_was_decided_about_has_no_buttons(
    world: World, state: str, words: str
) -> None:
    decided = dead_letter(state=state, decided_by="os:root", traceback="", correlation_id="")
    world.operations.answers["dead_letter"] = decided

    await world.feed(wish("/dl show 12"))

    assert f"{words}: os:root" in said(world)
    assert world.telegram.called(SendMessage)[0].reply_markup is None


async def test_a_dead_letter_is_retried_or_dropped_by_command(world: World) -> None:
    world.operations.answers["retry_dead_letter"] = "sent to user/77 again"

    await world.feed(wish("/dl retry 12"))
    await world.feed(wish("/dl drop 12 no use"))

    retried, dropped = world.operations.wishes
    assert retried == ("retry_dead_letter", 12, WHO)
    assert dropped == ("drop_dead_letter", 12, WHO, "no use")
    first, second = world.telegram.called(SendMessage)
    assert "sent to user/77 again" in first.text
    assert "#12 was dropped" in second.text


@pytest.mark.parametrize(
    ("data", "wished", "words"),
    [
        (RETRY, ("retry_dead_letter", 12, WHO), "sent to user/77 again"),
        (DROP, ("drop_dead_letter", 12, WHO, ""), "#12 was dropped"),
    ],
)
async def test_a_dead_letter_is_retried_or_dropped_by_a_tap(
    world: World, data: str, wished: tuple[object, ...], words: str
) -> None:
    world.operations.answers["retry_dead_letter"] = "sent to user/77 again"

    await world.feed(pressed(data))

    assert world.operations.wishes == [wished]
    assert words in world.telegram.called(EditMessageText)[0].text


# What cannot be


@pytest.mark.parametrize(
    "text",
    [
        "/policy help",
        "/policy set",
        "/policy set users.max_restarts",
        "/policy try users.max_restarts",
        "/policy undo",
        "/policy undo 0",
        f"/policy undo {10**18}",
        "/policy undo twelve",
        "/actor",
        "/actor suspend",
        "/actor notifier please",
        "/dl show",
        "/dl show twelve",
        "/dl keep 12",
        "/dl show \N{SUPERSCRIPT TWO}",
    ],
)
async def test_words_that_mean_nothing_bring_the_words_that_do(world: World, text: str) -> None:
    await world.feed(wish(text))

    assert not world.operations.wishes
    assert f"{text.split(maxsplit=1)[0]} " in said(world)


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("/policy set users.max_restarts many", "set_policy"),
        ("/actor restart nobody", "restart"),
        ("/actor nobody", "look"),
        ("/dl retry 12", "retry_dead_letter"),
    ],
)
async def test_a_refusal_says_why(world: World, text: str, method: str) -> None:
    world.operations.answers[method] = OperationRefused("<b>no</b> & why " + "x" * 9_000)

    await world.feed(wish(text))

    assert said(world).startswith("✗ <b>no</b> & why xxx")


async def test_a_span_that_is_too_long_is_refused_and_nothing_changes(world: World) -> None:
    await world.feed(wish("/policy set users.max_restarts 5 99d a trip"))

    assert said(world) == "✗ 99d: a span from 1s to 30d"
    assert not world.operations.wishes


@pytest.mark.parametrize("error", [Unavailable("database"), TimeoutError()])
async def test_during_an_outage_the_owner_is_told_to_come_back(
    world: World, error: Exception
) -> None:
    world.operations.answers["set_policy"] = error

    await world.feed(wish("/policy set users.max_restarts 5"))

    assert "come back in a minute" in said(world)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(OperationRefused("taken back before"), "taken back before"), (Unavailable("x"), "come back")],
)
async def test_a_tap_that_comes_to_nothing_leaves_the_message_as_it_is(
    world: World, answer: Exception, words: str
) -> None:
    world.operations.answers["undo_policy"] = answer

    await world.feed(pressed(UNDO))

    assert words in said(world)
    assert len(world.telegram.called(AnswerCallbackQuery)) == 1
    assert not world.telegram.called(EditMessageText)


@pytest.mark.parametrize(
    "error",
    [
        TelegramNetworkError(method=METHOD, message="x"),
        TelegramServerError(method=METHOD, message="x"),
        TelegramRetryAfter(method=METHOD, message="x", retry_after=3),
    ],
)
@pytest.mark.parametrize("answer", [change(), OperationRefused("no"), Unavailable("x")])
async def test_a_wish_whose_answer_is_lost_is_not_done_again(
    world: World, answer: object, error: Exception
) -> None:
    world.operations.answers["set_policy"] = answer
    world.telegram.fail_next("sendMessage", error)

    await world.feed(wish("/policy set users.max_restarts 5"))  # an error would bring it again

    assert len(world.operations.wishes) == 1


async def test_a_bug_is_not_swallowed(world: World) -> None:
    world.operations.answers["tree"] = RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await world.feed(wish("/actors"))


# Who may not


@pytest.mark.parametrize("text", COMMANDS)
async def test_for_anybody_else_these_commands_are_unknown(world: World, text: str) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(message(text))
    await world.feed(message("how are you?"))

    first, second = world.telegram.called(SendMessage)
    assert (first.text, first.reply_markup) == (second.text, second.reply_markup)
    assert first.text.startswith("I only understand buttons")
    assert not world.operations.wishes


@pytest.mark.parametrize("data", [UNDO, RETRY, DROP, *OF_NODES])
async def test_for_anybody_else_these_buttons_are_made_up(world: World, data: str) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(tap(data, sender=person(BUYER)))

    assert "out of date" in world.telegram.called(AnswerCallbackQuery)[0].text
    assert not world.operations.wishes


@pytest.mark.parametrize(
    "data",
    [
        *("undo:0", "undo:-1", f"undo:{2**63}", "letter:keep:1", "undo:x", "node:De:0", "node::0"),
        *("compare:**:1", "nodeyes:freeze:de-1:1", "nodeyes:confirm:de-1:-1", "clocks:", "nodes:"),
    ],
)
async def test_a_button_that_we_never_made_does_nothing_for_owners_either(
    world: World, data: str
) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(pressed(data))

    assert "out of date" in world.telegram.called(AnswerCallbackQuery)[0].text
    assert not world.operations.wishes


@pytest.mark.parametrize("text", COMMANDS)
async def test_groups_are_not_listened_to(world: World, text: str) -> None:
    assert await world.feed(wish(text, chat_type="supergroup")) is UNHANDLED
    assert not world.telegram.calls
    assert not world.operations.wishes


async def test_a_tap_in_a_group_is_not_listened_to(world: World) -> None:
    update = tap(UNDO, sender=person(OWNER), chat={"id": -100, "type": "group"})

    assert await world.feed(update) is UNHANDLED
    assert not world.operations.wishes


async def test_a_command_that_an_owner_forwards_is_not_the_owners(world: World) -> None:
    world.users.answers[Introduce] = status()
    origin = {"type": "hidden_user", "sender_user_name": "x", "date": int(NOW.timestamp())}

    await world.feed(wish("/actor restart notifier", forward_origin=origin))

    assert not world.operations.wishes


async def test_without_operations_owners_have_no_commands(
    telegram: FakeTelegram, bot: Bot, plans: Plans, texts: Texts, signer: PayloadSigner
) -> None:
    users, queries = FakeUsers({Introduce: status()}), FakeQueries()
    dispatcher = build_dispatcher(
        users=users,
        queries=queries,
        plans=plans,
        nodes=lambda: NODES_NOW,
        texts=texts,
        signer=signer,
        gateways={},
        admins=(OWNER,),
    )
    world = World(telegram, bot, users, queries, signer, dispatcher)

    await world.feed(wish("/policy"))

    assert said(world).startswith("I only understand buttons")


# What comes from outside


async def test_a_reason_is_text_and_nothing_else(world: World) -> None:
    world.operations.answers["policy_history"] = [
        change(reason="<b>bold</b>\n& \N{RIGHT-TO-LEFT OVERRIDE}x")
    ]

    await world.feed(wish("/policy history"))

    assert "&lt;b&gt;bold&lt;/b&gt; &amp; x" in world.telegram.called(SendMessage)[0].text


async def test_a_traceback_is_text_and_its_end_is_kept(world: World) -> None:
    long = "<a href='x'>\n" * 2_000 + "\N{GRINNING FACE}" * 99 + "<b>KeyError</b>"
    world.operations.answers["dead_letter"] = dead_letter(
        traceback=long, error="<i>" * 999, actor="</pre>" * 999, message_type="&" * 999
    )

    await world.feed(wish("/dl show 12"))

    assert said(world).endswith("<b>KeyError</b>")


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_tree_in_great_trouble_fits_and_says_what_is_left_out(
    world: World, language: str
) -> None:
    world.queries.languages = {OWNER: language}
    sick = tuple(
        view(
            f"user/{number}<&>",
            state=ActorState.PARKED,
            restarts=6,
            back_in_s=299.0,
            last_error="KeyError in \N{GRINNING FACE} actor.py:12 during CreditPayment",
        )
        for number in range(200)
    )
    well = tuple(view(f"poller/{number}") for number in range(50))
    users = view("users/3", children=sick, more=1_000)
    world.operations.answers["tree"] = view("root", children=(*well, users))

    await world.feed(wish("/actors"))

    lines = said(world).splitlines()
    shown = [line for line in lines if line.startswith(("!", "·", " "))]
    troubled = [line for line in shown if line.lstrip().startswith("!")]
    assert len(troubled) > 20
    assert not any("poller" in line for line in shown)
    separator = {"en": ",", "ru": "\N{NO-BREAK SPACE}"}[language]
    left_out = f"{1_252 - len(shown):,}".replace(",", separator)
    assert left_out in lines[-1]
    assert str(200 - len(troubled)) in lines[-1]


async def test_long_lists_fit(world: World) -> None:
    many = [
        change(id=number, reason="r" * 4_000, key="k" * 60) for number in range(10**9, 10**9 + 30)
    ]
    letters = [dead_letter(id=number, error="e" * 900) for number in range(50)]
    state = {f"key-{number}": "v" * 500 for number in range(100)}
    world.operations.answers["policy_history"] = many
    world.operations.answers["dead_letters"] = letters
    world.operations.answers["look"] = ActorDetails(
        view=view("n" * 999), supervisor="s", state=state
    )

    for text in ("/policy history", "/dl", "/actor notifier"):
        world.telegram.calls.clear()
        await world.feed(wish(text))
        assert "… and" in said(world)


async def test_a_tap_on_undo_whose_answer_is_there_already_is_no_error(world: World) -> None:
    world.operations.answers["undo_policy"] = change(id=13, old=5, new=6, undoes=12)
    same = TelegramBadRequest(method=METHOD, message="Bad Request: message is not modified")
    world.telegram.fail_next("editMessageText", same)

    await world.feed(pressed(UNDO))

    assert not world.telegram.called(SendMessage)
