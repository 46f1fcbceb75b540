"""Why a running back-end could not be asked, or would not. Each text is a line for a person."""

from pathlib import Path


class ConsoleError(Exception):
    """The command cannot do what it was asked for."""


class NoBackend(ConsoleError):  # noqa: N818 - what the person reads
    """Nobody listens on the control socket."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"no back-end runs on {data_dir.absolute()};"
            " start it with: tollgate run (or tollgate demo)"
        )


class Refused(ConsoleError):  # noqa: N818 - as NoBackend
    """The back-end says why it will not do it, and what would do."""


class BackendOutage(ConsoleError):  # noqa: N818 - as NoBackend
    """Something that the back-end needs does not answer; later it will."""


class Unanswered(ConsoleError):  # noqa: N818 - as NoBackend
    """The question was sent and no answer came: a change may have been made or not."""


class NotUnderstood(ConsoleError):  # noqa: N818 - as NoBackend
    """An answer came that makes no sense here."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the back-end's answer cannot be understood ({what}); is it of the same version?"
        )
