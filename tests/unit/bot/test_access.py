"""A trial and a new link: what is asked of the user's actor, and what is said of each answer."""

import pytest
from aiogram.methods import AnswerCallbackQuery, EditMessageText

from actors.runtime.replies import Unavailable
from actors.user.messages import (
    NoAccess,
    NotSoldToUser,
    Reissue,
    ReissueOutcome,
    ReissueStarted,
    ReissueTooOften,
    ReissueUnderWay,
    StartTrial,
    TrialNotOffered,
    TrialStarted,
)
from bot import replies
from bot.callbacks import Go, NewLink, Page, TrialWanted
from bot.keyboards import Button
from bot.texts import LANGUAGES, Texts
from config.plans import Plans
from storage.rows import SubscriptionStatus
from tests.unit.bot.conftest import BUYER, World, person, status, tap
from tests.unit.bot.test_replies import said

TAP_ID = "0123456789abcdef"
TRIALS: list[tuple[TrialStarted | TrialNotOffered | NotSoldToUser, str]] = [
    (TrialStarted(period_s=86_400), "1 day for free"),
    (TrialNotOffered(), "nothing left to try"),
    (NotSoldToUser(), "cannot sell to you"),
]
REISSUES: list[tuple[ReissueOutcome, str]] = [
    (ReissueStarted(old_works=True), "Until it works, the old one does"),
    (ReissueStarted(old_works=False), "The old link is being stopped"),
    (ReissueUnderWay(), "is being made already"),
    (ReissueTooOften(per_day=3), "New links a day: 3"),
    (NoAccess(status=SubscriptionStatus.NONE), "no link yet"),
    (NoAccess(status=SubscriptionStatus.EXPIRED), "has ended"),
    (NoAccess(status=SubscriptionStatus.SUSPENDED), "is paused"),
]


def edited(world: World) -> str:
    [answer] = world.telegram.called(AnswerCallbackQuery)
    assert answer.text is None
    [shown] = world.telegram.called(EditMessageText)
    return str(shown.text)


@pytest.mark.parametrize(("outcome", "words"), TRIALS)
async def test_a_trial_is_asked_for_and_its_answer_told(
    world: World, outcome: TrialStarted, words: str
) -> None:
    world.users.answers = {StartTrial: outcome}

    await world.feed(tap(TrialWanted().pack(), sender=person(language_code="en")))

    assert world.users.asked == [(BUYER, StartTrial(operation_id="telegram:5", language="en"))]
    assert words in edited(world)


@pytest.mark.parametrize("leaked", [False, True])
@pytest.mark.parametrize(("outcome", "words"), REISSUES)
async def test_a_new_link_is_asked_for_and_its_answer_told(
    world: World, outcome: ReissueOutcome, words: str, *, leaked: bool
) -> None:
    world.users.answers = {Reissue: outcome}

    await world.feed(tap(NewLink(leaked=leaked, operation_id=TAP_ID).pack()))

    assert world.users.asked == [(BUYER, Reissue(operation_id=TAP_ID, leaked=leaked))]
    assert words in edited(world)


async def test_a_tap_that_is_replayed_is_the_same_wish(world: World) -> None:
    world.users.answers = {Reissue: ReissueUnderWay()}
    button = tap(NewLink(leaked=True, operation_id=TAP_ID).pack())

    await world.feed(button)
    await world.feed(button)

    first, second = world.users.asked
    assert first == second


async def test_why_a_new_link_is_wanted_is_asked_first(world: World) -> None:
    await world.feed(tap(Go(page=Page.NEW_LINK).pack()))

    assert "Why do you need a new link?" in edited(world)
    [question] = world.telegram.called(EditMessageText)
    rows = question.reply_markup.inline_keyboard
    lost, leaked = (NewLink.unpack(row[0].callback_data) for row in rows[:2])
    assert (lost.leaked, leaked.leaked) == (False, True)
    assert lost.operation_id != leaked.operation_id
    assert not world.users.asked


@pytest.mark.parametrize("data", [TrialWanted(), NewLink(leaked=True, operation_id=TAP_ID)])
async def test_an_outage_leaves_the_wish_to_the_inbox(
    world: World, data: TrialWanted | NewLink
) -> None:
    world.users.answers = {StartTrial: Unavailable("x"), Reissue: Unavailable("x")}

    with pytest.raises(Unavailable):
        await world.feed(tap(data.pack()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_has_words_in_every_language(
    texts: Texts, plans: Plans, language: str
) -> None:
    shown = [said(replies.trial(outcome), texts, language) for outcome, _ in TRIALS]
    shown += [said(replies.reissue(outcome, plans), texts, language) for outcome, _ in REISSUES]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize(
    ("changes", "callbacks"),
    [
        ({"trial_s": 86_400}, {"try"}),
        ({"can_reissue": True}, {"go:newlink:0"}),
        ({"trial_s": 86_400, "can_reissue": True, "banned": True}, set()),
        (
            {"trial_s": 86_400, "can_reissue": True, "status": SubscriptionStatus.SUSPENDED},
            set(),
        ),
        ({}, set()),
    ],
)
def test_the_card_offers_them_only_when_there_is_something(
    plans: Plans, changes: dict[str, object], callbacks: set[str]
) -> None:
    keyboard = replies.card(status(**changes), plans, "Ann").keyboard
    offered = {
        button.callback.pack() for row in keyboard for button in row if isinstance(button, Button)
    }
    assert offered & {"try", "go:newlink:0"} == callbacks


def test_a_ban_is_told_whatever_is_left(texts: Texts, plans: Plans) -> None:
    banned = status(status=SubscriptionStatus.SUSPENDED, banned=True)
    assert "sell you nothing" in said(replies.card(banned, plans, "Ann"), texts, "en")
