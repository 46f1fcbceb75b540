"""What was learnt of each part, or why nothing could be. Plain values, so that judging is pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.examination import TelegramStanding
from bot.node_views import BreakerView, ExpiryView
from storage.looking import DatabaseStanding
from xray_api.contract import Readiness


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing was learnt: the kind of failure, and its words, which hold no secret."""

    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """The data folder, and files with secrets; modes are permission bits.

    Attributes:
        exists: whether it is there.
        closed: what of it this user may not look at, and why.
        writable: by this user.
        mode: of the folder.
        free_bytes: where it lies.
        secrets: modes of files with secrets, by path.
        plain_files: settings that name files which cannot be read, in words.
    """

    exists: bool
    closed: str = ""
    writable: bool = True
    mode: int = 0o700
    free_bytes: int = 1 << 40
    secrets: Mapping[str, int] = field(default_factory=dict)
    plain_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFacts:
    """What a running back-end says through its control socket."""

    breakers: tuple[BreakerView, ...]
    expiry: ExpiryView
    calls_nodes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node says, and how far its clock is ahead of this machine's."""

    readiness: Readiness
    clock_ahead_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was learnt.

    Attributes:
        folder: see there.
        database: None where there is none yet.
        backend: None where none runs.
        telegram: see there.
        nodes: by id.
        providers: trouble with each way to pay that was asked.
        door: trouble with `http.listen`.
        host_clock_s: this machine's, seconds since 1970, when the database told its own.
        fingerprints: of the master keys, current first; empty where they are not there.
        keys: trouble with their file.
    """

    folder: FolderFacts
    database: DatabaseStanding | Trouble | None
    backend: BackendFacts | Trouble | None
    telegram: TelegramStanding | Trouble
    nodes: Mapping[str, NodeFacts | Trouble]
    providers: Mapping[str, Trouble | None]
    door: Trouble | None
    host_clock_s: float
    fingerprints: tuple[str, ...] = ()
    keys: Trouble | None = None
