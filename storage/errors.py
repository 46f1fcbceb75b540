"""What storage raises, split by what the caller should do about it."""


class StorageUnavailable(Exception):  # noqa: N818 - weather
    """PostgreSQL does not answer or cannot take writes; the same call may be repeated."""


class RolledBack(StorageUnavailable):
    """PostgreSQL undid the whole transaction for another one's sake: repeat it."""


class VersionConflict(Exception):  # noqa: N818 - an expected outcome of a race
    """The rows changed since they were read: load, decide and record again."""


class RecordedBefore(Exception):  # noqa: N818 - an expected outcome of a repetition
    """The very same act, or the same source of time, was recorded before: nothing was written."""


class Fenced(StorageUnavailable):
    """Another back-end owns this database now: nothing may be written by this one any more."""

    def __init__(self) -> None:
        super().__init__("another back-end has taken this database over")


class CallInTransaction(RuntimeError):  # noqa: N818 - names what was refused
    """An outside call was about to be made while a database connection is held."""


class StorageSetupError(Exception):
    """The database cannot be used at all; the text says why and what to do."""
