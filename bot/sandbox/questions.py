"""Questions that the bot must answer within a time: taps and pre-checkouts."""

import asyncio
import secrets
from typing import Any

from bot.sandbox.errors import bad_request


class Questions:
    """Open questions by id. Each takes one answer, in time; any other answer is refused."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._open: dict[str, asyncio.Future[Any]] = {}

    def open(self) -> str:
        """A new question's id: random digits, as Telegram's are."""
        question = str(secrets.randbits(60))
        self._open[question] = asyncio.get_running_loop().create_future()
        return question

    async def answer_to(self, question: str) -> Any | None:
        """The bot's answer, or ``None`` when the time is over; either way the question closes."""
        try:
            return await asyncio.wait_for(self._open[question], self._timeout_s)
        except TimeoutError:
            return None
        finally:
            del self._open[question]

    def answer(self, question: str, value: Any) -> None:
        """The bot answers.

        Raises:
            ApiError: The question is unknown, answered already, or its time is over. That a second
                answer is refused is the strict reading; the real server was not asked.
        """
        waiting = self._open.get(question)
        if waiting is None or waiting.done():
            raise bad_request(
                "query is too old and response timeout expired or query ID is invalid"
            )
        waiting.set_result(value)
