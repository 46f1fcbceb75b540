"""What an asker may get instead of an answer: try later, or a bug that was reported."""


class Unavailable(Exception):  # noqa: N818 - weather, not an error of anybody
    """Not now: an outage, a full inbox or a passed deadline. The same request may be repeated."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ActorFailed(Exception):  # noqa: N818 - the asked actor failed, not the asker
    """The actor crashed on this message; its supervisor knows. `actor` is its address."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} failed")
        self.actor = actor
