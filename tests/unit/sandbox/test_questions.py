"""A question takes one answer, in time."""

import asyncio

import pytest

from bot.sandbox.errors import ApiError
from bot.sandbox.questions import Questions


async def test_the_answer_reaches_the_asker() -> None:
    questions = Questions(timeout_s=20)
    question = questions.open()

    questions.answer(question, "yes")

    assert await questions.answer_to(question) == "yes"


async def test_a_second_answer_is_refused_even_before_the_asker_saw_the_first() -> None:
    questions = Questions(timeout_s=20)
    question = questions.open()
    questions.answer(question, "yes")

    with pytest.raises(ApiError, match="query is too old"):
        questions.answer(question, "no")

    assert await questions.answer_to(question) == "yes"


async def test_after_the_time_there_is_no_answer_and_none_is_taken() -> None:
    questions = Questions(timeout_s=0)
    question = questions.open()

    assert await questions.answer_to(question) is None

    with pytest.raises(ApiError, match="query is too old"):
        questions.answer(question, "late")


async def test_questions_do_not_mix() -> None:
    questions = Questions(timeout_s=20)
    first, second = questions.open(), questions.open()
    asking = [asyncio.ensure_future(questions.answer_to(q)) for q in (first, second)]

    questions.answer(second, "two")
    questions.answer(first, "one")

    assert await asyncio.gather(*asking) == ["one", "two"]
