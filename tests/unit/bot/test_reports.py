"""Every report has words in every language, and fits into a message."""

from datetime import timedelta
from typing import Any

import pytest
from fluent.syntax import FluentParser, ast
from hypothesis import given
from hypothesis import strategies as st

from actors.notifier.ports import OwnerAlert
from actors.runtime.inspection import ActorDetails, ActorState, HandledMessage
from bot.dispatcher import ADMIN_COMMANDS, COMMANDS, admin_commands
from bot.keyboards import markup
from bot.replies import Reply
from bot.reports import letters, policies, tree
from bot.reports.alerts import ALERTS, alert
from bot.reports.fitting import cut, cut_head, fitting, one_line, plain, span, units
from bot.routers.admin import actors as actors_router
from bot.routers.admin import letters as letters_router
from bot.routers.admin import policy as policy_router
from bot.sandbox.entities import formatted
from bot.texts import LANGUAGES, LOCALES, Texts
from config.tuning import Forecast, Tunable
from tests.unit.bot.conftest import NOW, OWNER, change, dead_letter, view

LATER = NOW + timedelta(minutes=15)
TUNABLES = [Tunable(key="users.max_restarts", value=5, default=6, bounds="0 to 9")]
FORECAST = Forecast(
    key="users.max_restarts",
    old=6,
    new=5,
    within_s=3600.0,
    restarts=1,
    actors=1,
    too_many_before=0,
    too_many_after=1,
)
HANDLED = HandledMessage(
    message="SendLink", correlation_id="c", at=5.0, waited_s=0.0, took_s=0.012, outcome="done"
)
DETAILS = ActorDetails(
    view=view(
        state=ActorState.SUSPENDED,
        incarnation=3,
        restarts=2,
        inbox=3,
        oldest_s=12.0,
        in_hand="CreditPayment",
        in_hand_s=0.2,
        back_in_s=240.0,
        last_error="KeyError in actor.py:12 during CreditPayment",
        last_error_s=5.0,
    ),
    supervisor="root",
    state={"waits": 3},
    handled=120,
    failed=3,
    mean_s=0.003,
    longest_s=1.25,
    recent=(HANDLED,),
)
REPORTS = [
    policies.policies(TUNABLES, None),
    policies.policies(TUNABLES, "users"),
    policies.policies(TUNABLES, "nobody"),
    policies.changed(change()),
    policies.changed(change(revert_at=LATER)),
    policies.undone(change()),
    policies.undone(change(revert_at=LATER)),
    policies.forecast(FORECAST),
    policies.history([change()]),
    policies.history([change()] * 999),
    policies.history([]),
    tree.tree(view()),
    tree.tree(view(children=(view("n" * 90),) * 999)),
    tree.details(DETAILS),
    letters.letters([dead_letter()]),
    letters.letters([dead_letter()] * 999),
    letters.letters([]),
    *(letters.letter(dead_letter(state=state)) for state in ("waiting", "retried", "dropped")),
    letters.retried(12, "how"),
    letters.dropped(12),
    policy_router.USAGE,
    actors_router.USAGE,
    letters_router.USAGE,
    *(
        Reply(text_id=text_id, values={"actor": "notifier"})
        for text_id in (
            "actor-suspended",
            "actor-resumed",
            "actor-restarts",
            "actor-restarts-now",
            "actor-not-from-here",
        )
    ),
    Reply(text_id="operator-refused", values={"why": "no"}),
    Reply(text_id="operator-not-now"),
]


def notice(text_id: str, **arguments: Any) -> OwnerAlert:
    return OwnerAlert(chat_id=OWNER, language="en", text_id=text_id, arguments=arguments)


def shown(reply: Reply, texts: Texts, language: str) -> str:
    """A message as Telegram shows it."""
    markup(reply.keyboard, texts, language)
    text = formatted(texts.html(reply.text_id, language, **reply.values), "HTML", None).text
    assert 0 < units(text) <= 4096
    return text


def messages_of(file: str) -> list[ast.Message]:
    body = FluentParser().parse((LOCALES / "en" / file).read_text(encoding="utf-8")).body
    return [entry for entry in body if isinstance(entry, ast.Message)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reply", REPORTS)
def test_every_report_has_words_and_fits(texts: Texts, reply: Reply, language: str) -> None:
    assert shown(reply, texts, language)


def test_every_text_for_owners_is_in_the_table() -> None:
    texts = {entry.id.name for entry in messages_of("operators.ftl")}
    plain_texts = {text_id for text_id in texts if text_id.startswith(("button-", "command-"))}
    assert {reply.text_id for reply in REPORTS} == texts - plain_texts


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text_id", ALERTS)
def test_every_alert_has_words(texts: Texts, text_id: str, language: str) -> None:
    arguments = dict.fromkeys(ALERTS[text_id], "<b>&" * 999)

    reply = alert(notice(text_id, **arguments, more=1))

    assert reply.text_id == text_id
    assert "<b>&<b>" in shown(reply, texts, language)


def test_every_alert_that_has_words_is_known() -> None:
    texts = {entry.id.name for entry in messages_of("alerts.ftl")}
    assert texts == {*ALERTS, "alert-other"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("told", "words"),
    [
        (notice("alert-of-tomorrow", actor="<b>", at=0.5), "actor = <b>, at = 0.5"),
        (notice("alert-parked", actor="user/77"), "alert-parked\nactor = user/77"),
        (notice("card-none", name="Ann"), "card-none\nname = Ann"),
        (notice("", **{"a b": None}), "a b = None"),
        (notice("<" * 9_000, **{str(number): "&" * 999 for number in range(99)}), "<<<"),
    ],
    ids=["unknown", "an argument is missing", "no alert", "nothing", "too much"],
)
def test_an_alert_of_another_release_is_told_as_it_came(
    texts: Texts, told: OwnerAlert, words: str, language: str
) -> None:
    assert words in shown(alert(told), texts, language)


def test_a_look_inside_says_all_that_is_known(texts: Texts) -> None:
    assert shown(tree.details(DETAILS), texts, "en").splitlines() == [
        "notifier",
        "kind       NotifierActor",
        "under      root",
        "state      suspended, incarnation 3",
        "restarts   2/5",
        "back in    4m",
        "inbox      3, oldest 12s",
        "in hand    CreditPayment for 200ms",
        "last error KeyError in actor.py:12 during CreditPayment, 5s ago",
        "handled    120, failed 3",
        "took       mean 3ms, longest 1.25s",
        "waits = 3",
        "5s ago SendLink: done in 12ms",
        "What can be done: /actor help",
    ]


@pytest.mark.parametrize(
    ("trouble", "remark"),
    [
        ({"state": ActorState.STOPPED}, "stopped"),
        ({"state": ActorState.PARKED, "back_in_s": 240.0}, "parked back in 4m"),
        ({"state": ActorState.RESTARTING, "back_in_s": 0.5}, "restarting back in 500ms"),
        ({"state": ActorState.SUSPENDED, "inbox": 2}, "suspended inbox 2"),
        ({"restarts": 1, "max_restarts": None, "last_error": "KeyError"}, "restarts 1 (KeyError)"),
        ({"inbox": 1, "oldest_s": 11.0}, "inbox 1, oldest 11s"),
        ({"in_hand": "Tick", "in_hand_s": 11.0}, "in hand Tick for 11s"),
    ],
)
def test_trouble_comes_first_and_is_named(
    texts: Texts, trouble: dict[str, Any], remark: str
) -> None:
    siblings = (view("a"), view("b"), view("ill", **trouble))

    lines = shown(tree.tree(view("root", children=siblings)), texts, "en").splitlines()

    assert lines[:3] == ["Actors: 4, in trouble: 1", "· root", f" ! ill {remark}"]


def test_worse_trouble_comes_before_other_trouble(texts: Texts) -> None:
    siblings = (
        view("crashed", restarts=1),
        view("suspended", state=ActorState.SUSPENDED),
        view("above", children=(view("parked", state=ActorState.PARKED),)),
    )

    lines = shown(tree.tree(view("root", children=siblings)), texts, "en").splitlines()

    names = [line.split()[1] for line in lines[1:-1]]
    assert names == ["root", "above", "parked", "suspended", "crashed"]


def test_an_error_of_long_ago_is_no_trouble(texts: Texts) -> None:
    well = view("notifier", last_error="KeyError", in_hand="Tick", in_hand_s=0.1, inbox=1)

    assert "· notifier inbox 1\n" in shown(tree.tree(well), texts, "en")


@given(text=st.text(), room=st.integers(min_value=1, max_value=50))
def test_a_cut_text_fits_and_is_a_piece_of_the_whole(text: str, room: int) -> None:
    begins, ends = cut(text, room), cut_head(text, room)
    assert units(begins) <= room
    assert units(ends) <= room
    assert text.startswith(begins.removesuffix("…"))
    assert text.endswith(ends.removeprefix("…"))


@given(text=st.text())
def test_one_line_is_one_line(text: str) -> None:
    assert one_line(text, 100).isprintable()


def test_lines_that_do_not_fit_are_counted() -> None:
    assert fitting(["aa", "bb", "cc"], 6) == ("aa\nbb", 1)
    assert fitting(["a", "b" * 9, "c"], 6) == ("a", 2)
    assert fitting([], 6) == ("", 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0ms"),
        (0.0123, "12ms"),
        (1.234, "1.23s"),
        (119, "119s"),
        (900, "15m"),
        (7_199, "120m"),
        (7_200, "2h"),
        (172_800, "2d"),
    ],
)
def test_a_span_is_short(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_value_is_shown_as_it_is_typed() -> None:
    assert [plain(value) for value in (5, 60.0, 0.5, "one_for_one", None)] == [
        "5",
        "60",
        "0.5",
        "one_for_one",
        "file",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_menu_of_owners_holds_everything(texts: Texts, language: str) -> None:
    menu = admin_commands(texts, language)
    assert [command.command for command in menu] == [*COMMANDS, *ADMIN_COMMANDS]
    assert all(1 <= len(command.description) <= 256 for command in menu)
