"""The sandbox's own refusals: what a Bot API call is answered with, and what a test reads."""


class ApiError(Exception):
    """A Bot API call that is refused.

    Attributes:
        status: HTTP status and ``error_code``.
        description: What the client shows, worded as Telegram words it where that is known.
        retry_after_s: For status 429, seconds until a repetition is welcome.
    """

    def __init__(self, status: int, description: str, retry_after_s: int | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.retry_after_s = retry_after_s


def bad_request(reason: str) -> ApiError:
    """The refusal for a call that can never succeed as it stands."""
    return ApiError(400, f"Bad Request: {reason}")


class NotSeenError(TimeoutError):
    """A person waited for a message that never came; the text holds the whole chat."""


class BlockedError(RuntimeError):
    """A person who has blocked the bot tried to use the chat; ``unblock()`` first."""
