"""The store's file: what is read from it was written by this service, whole and last, or is damage.

Each row, their sum and the count of commits are checked at open; the count is also kept beside the
file, because SQLite drops the end of a cut log without a word. All of it runs in one thread.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

from xray_api.contract import Writer
from xray_api.node.changes import Wish

_SCHEMA_VERSION = 2
#: With the version added it is a second witness of the version: a garbled one is damage.
_APPLICATION_ID = 0x546F6C00

_SCHEMA = """
CREATE TABLE users (
    uuid BLOB PRIMARY KEY,     -- 16 bytes
    gen INTEGER NOT NULL CHECK (gen >= 1),
    present INTEGER NOT NULL,  -- 0 is a tombstone
    checksum BLOB NOT NULL     -- 8 bytes over the others
) STRICT, WITHOUT ROWID;

CREATE TABLE node (            -- one row
    epoch TEXT NOT NULL,
    writer_db_id TEXT,
    writer_seq INTEGER,
    commits INTEGER NOT NULL,
    rows INTEGER NOT NULL,     -- how many users there are
    total BLOB NOT NULL,       -- XOR of their checksums
    checksum BLOB NOT NULL     -- 8 bytes over the others
) STRICT;
"""

_SELECT_V1_NODE = "SELECT epoch, writer_db_id, writer_seq FROM node"
_SELECT_V1_USERS = "SELECT uuid, gen, present FROM users"
_SELECT_NODE = "SELECT epoch, writer_db_id, writer_seq, commits, rows, total, checksum FROM node"
_SELECT_USERS = "SELECT uuid, gen, present, checksum FROM users"
_INSERT_NODE = "INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?)"
_UPDATE_NODE = """
UPDATE node SET epoch = ?, writer_db_id = ?, writer_seq = ?,
                commits = ?, rows = ?, total = ?, checksum = ?
"""
_REPLACE_USER = "REPLACE INTO users VALUES (?, ?, ?, ?)"

#: Failures to read that are the disk's; other I/O errors say that it cannot be written.
_UNREADABLE = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR | 32 << 8,  # SQLITE_IOERR_DATA, which Python does not name
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}
#: What a person must mend: they say nothing against the file's contents.
_HINDRANCES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
}


class Damaged(Exception):  # noqa: N818 - a finding about the file
    """The file does not hold what was written last; the text says what was found."""


class NewerRelease(Exception):  # noqa: N818 - as above
    """The file is whole, and of a release that this one does not know."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the file says of itself: `total` is the XOR of the rows' checksums."""

    epoch: UUID
    writer: Writer | None
    commits: int
    rows: int
    total: int

    def row(self) -> tuple[object, ...]:
        """As it is stored, with its checksum."""
        db_id, seq = self.writer or (None, None)
        parts = (
            str(self.epoch),
            db_id,
            seq,
            self.commits,
            self.rows,
            self.total.to_bytes(8, "big"),
        )
        return *parts, _sum64(repr(parts).encode())


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read: `copy` names the copy that served, where the file was damaged."""

    node: Node
    wishes: dict[UUID, Wish]
    damage: str = ""
    copy: str = ""


def is_damage(error: Exception) -> bool:
    """Whether it speaks against the file's contents, and not against a hindrance."""
    if not isinstance(error, sqlite3.Error):
        return isinstance(error, Damaged)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    # Extended codes keep the kind in the lowest byte.
    return code in _UNREADABLE or code & 0xFF not in _HINDRANCES


def is_corrupt(error: Exception) -> bool:
    """Whether SQLite found the open file damaged."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    kinds = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return isinstance(error, Damaged) or code & 0xFF in kinds or code in _UNREADABLE


class StoreFile:
    """The open file with its copies and the count of its commits. Make it with `open`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._anchor = _Anchor(_beside(path, ".commits"))
        self._copies = (_beside(path, ".copy"), _beside(path, ".copy.previous"))
        self.connection: sqlite3.Connection
        self._inode: tuple[int, int] | None = None
        self._whole = True
        self._node: Node
        self._copied = -1

    @classmethod
    def open(cls, path: Path) -> tuple[Self, Contents]:
        """Open or create it; a damaged one is put aside and made anew from the newest good copy.

        Raises:
            sqlite3.Error, OSError, NewerRelease: a person must mend it.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = cls(path)
        try:
            return file, file._load()
        except Exception as error:
            if not is_damage(error):
                file.close()
                raise
            return file, file._start_over(str(error))

    def write(
        self,
        wishes: Mapping[UUID, Wish],
        replaced: Iterable[tuple[UUID, Wish]],
        writer: Writer | None,
    ) -> None:
        """Put wishes in the place of `replaced`, in one commit; durable on return."""
        self._check_whole()
        rows = [_row(uuid, wish) for uuid, wish in wishes.items()]
        gone = [_row(uuid, wish) for uuid, wish in replaced]
        node = replace(
            self._node,
            writer=writer,
            commits=self._node.commits + 1,
            rows=self._node.rows + len(rows) - len(gone),
            total=self._node.total ^ _total(rows) ^ _total(gone),
        )
        with self.connection:  # commits, or rolls back
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(_REPLACE_USER, rows)
            self.connection.execute(_UPDATE_NODE, node.row())
        self._node = node
        with suppress(OSError):  # one that is behind is taken for a loss of power
            self._anchor.move(node)

    def remake(self, wishes: Mapping[UUID, Wish]) -> None:
        """Put the damaged file aside, and make it anew with the same epoch."""
        node = _node_of(self._node.epoch, self._node.writer, wishes, self._node.commits + 1)
        self._put_aside()
        self._whole = False
        self._connect()
        self._fill(node, dict(wishes))
        self._whole = True

    def copy(self) -> None:
        """Keep a copy that was read back, and the one before it; none where nothing changed.

        Raises:
            Damaged: the file is gone, or what was copied is not whole.
            sqlite3.Error, OSError: the copy cannot be written.
        """
        self._check_whole()
        if self._inode != _inode(self._path):
            raise Damaged("the file was taken away, or exchanged")
        if self._copied == self._node.commits:
            return
        new = _beside(self._path, ".copy.new")
        new.unlink(missing_ok=True)
        _make_empty(new)
        with closing(_connect(new)) as target:
            self.connection.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        if _read_copy(new).node != self._node:
            raise Damaged("a copy of it is not what was written")
        _fsync(new)
        newest, previous = self._copies
        if newest.exists():
            newest.replace(previous)
        new.replace(newest)
        _fsync(self._path.parent)
        self._copied = self._node.commits

    def close(self) -> None:
        """Let the file go."""
        self._anchor.close()
        if hasattr(self, "connection"):
            self.connection.close()

    def _check_whole(self) -> None:
        if not self._whole:
            raise Damaged("the file could not be made anew")

    def _load(self) -> Contents:
        """Raises an error that `is_damage` tells from a hindrance."""
        self._connect()
        self.connection.execute("BEGIN EXCLUSIVE")
        try:
            version = _version(self.connection)
        finally:
            self.connection.execute("COMMIT")
        known = self._anchor.read()
        if version == 0:
            return self._new(known)
        if version == 1:
            return self._convert(known)
        if known is None:
            raise Damaged("the count of its commits is missing")
        contents = _read(self.connection)
        self._check_anchor(known, contents.node)
        self._node = contents.node
        self._anchor.move(contents.node)
        return contents

    def _new(self, known: tuple[UUID, int] | None) -> Contents:
        if (known and known[1]) or any(copy.exists() for copy in self._copies):
            raise Damaged("the file is empty")
        return self._fill(_node_of(uuid4(), None, {}, 0), {})

    def _convert(self, known: tuple[UUID, int] | None) -> Contents:
        """Take over a store of schema 1, with its epoch."""
        _check_pages(self.connection)
        epoch, db_id, seq = self.connection.execute(_SELECT_V1_NODE).fetchone()
        users = self.connection.execute(_SELECT_V1_USERS).fetchall()
        wishes = {UUID(bytes=uuid): Wish(gen, bool(present)) for uuid, gen, present in users}
        writer = Writer(db_id, seq) if db_id is not None else None
        node = _node_of(UUID(epoch), writer, wishes, 0)
        if known is not None:
            self._check_anchor(known, node)
        return self._fill(node, wishes, drop="DROP TABLE users; DROP TABLE node;")

    def _check_anchor(self, known: tuple[UUID, int], node: Node) -> None:
        epoch, commits = known
        if epoch != node.epoch:
            raise Damaged("it is another store's file")
        if commits > node.commits:
            raise Damaged(f"{commits - node.commits} of its commits are missing")

    def _start_over(self, damage: str) -> Contents:
        """A new epoch, with the wishes of the newest good copy."""
        self._put_aside()
        found: Contents | None = None
        for copy in self._copies:
            with suppress(Damaged, NewerRelease, sqlite3.Error, OSError):
                found = _read_copy(copy)
                break
        wishes = found.wishes if found else {}
        node = _node_of(uuid4(), found.node.writer if found else None, wishes, 0)
        try:
            self._connect()
            self._fill(node, wishes)
        except BaseException:
            self.close()
            raise
        return Contents(node, wishes, damage, copy.name if found else "")

    def _fill(self, node: Node, wishes: dict[UUID, Wish], drop: str = "") -> Contents:
        # The count is there before the file: without it a file is damaged.
        self._anchor.make(replace(node, commits=0))
        with self.connection:
            self.connection.execute("BEGIN EXCLUSIVE")
            for statement in (drop + _SCHEMA).split(";"):
                self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            self.connection.execute(f"PRAGMA application_id = {_APPLICATION_ID + _SCHEMA_VERSION}")
            self.connection.execute(_INSERT_NODE, node.row())
            self.connection.executemany(_REPLACE_USER, (_row(*item) for item in wishes.items()))
        _fsync(self._path.parent)
        self._node = node
        self._anchor.move(node)
        return Contents(node, wishes)

    def _connect(self) -> None:
        # SQLite gives its other files the mode of this one; uuids are credentials.
        _make_empty(self._path)
        # Asked here, as a garbled head makes SQLite call a file read-only too.
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise PermissionError("it may not be read and written")
        self.connection = _connect(self._path)
        self._inode = _inode(self._path)
        # Exclusive: a second service on the same folder must not start.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self.connection.execute(f"PRAGMA {pragma}")

    def _put_aside(self) -> None:
        """Keep what is damaged for a person to look at, in the place of an earlier one."""
        self._anchor.close()
        for suffix in ("", "-wal", "-journal", ".commits"):
            with suppress(FileNotFoundError):
                damaged = _beside(self._path, suffix)
                if self._whole:
                    damaged.replace(_beside(self._path, f".damaged{suffix}"))
                else:  # what an attempt to make it anew left, on a full disk
                    damaged.unlink()
        # After the move: closing it would write what is left of the log into the file.
        if hasattr(self, "connection"):
            with suppress(sqlite3.Error):
                self.connection.close()
        self._copied = -1


class _Anchor:
    """Epoch and count of commits beside the file: 16 and 8 bytes, and 8 of checksum."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def read(self) -> tuple[UUID, int] | None:
        """None where there is none.

        Raises:
            Damaged: it is garbled.
        """
        try:
            said = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if len(said) != 32 or _sum64(said[:24]) != said[24:]:  # noqa: PLR2004 - its parts
            raise Damaged("the count of its commits is garbled")
        return UUID(bytes=said[:16]), int.from_bytes(said[16:24], "big")

    def make(self, node: Node) -> None:
        """Whole and on disk on return: after a loss of power there is an older count or this."""
        self.close()
        new = _beside(self._path, ".new")
        new.unlink(missing_ok=True)
        _make_empty(new)
        new.write_bytes(_anchor_bytes(node))
        _fsync(new)
        new.replace(self._path)
        _fsync(self._path.parent)

    def move(self, node: Node) -> None:
        """Not on disk on return: it guards against files that were cut while nobody looked."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        os.pwrite(self._fd, _anchor_bytes(node), 0)

    def close(self) -> None:
        """Let the file go; `move` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _anchor_bytes(node: Node) -> bytes:
    said = node.epoch.bytes + node.commits.to_bytes(8, "big")
    return said + _sum64(said)


def _read(connection: sqlite3.Connection) -> Contents:
    """Read all, or raise what is wrong with it."""
    _check_pages(connection)
    try:
        ((epoch, db_id, seq, commits, rows, total, checksum),) = connection.execute(_SELECT_NODE)
        writer = Writer(db_id, seq) if db_id is not None else None
        node = Node(UUID(epoch), writer, commits, rows, int.from_bytes(total, "big"))
        users = connection.execute(_SELECT_USERS).fetchall()
        wishes = {UUID(bytes=uuid): Wish(gen, bool(present)) for uuid, gen, present, _ in users}
        right = node.row()[-1] == checksum and all(
            _row(UUID(bytes=uuid), Wish(gen, bool(present))) == (uuid, gen, present, of_row)
            for uuid, gen, present, of_row in users
        )
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise Damaged("a value in it has a wrong shape") from error
    if not right:
        raise Damaged("a checksum in it is wrong")
    if len(users) != rows or _total(users) != node.total:
        raise Damaged("users are missing, or of another time")
    return Contents(node, wishes)


def _read_copy(path: Path) -> Contents:
    # Immutable: nothing is written beside a copy.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        if _version(connection) != _SCHEMA_VERSION:
            raise Damaged("it is no copy of this release")
        return _read(connection)


def _version(connection: sqlite3.Connection) -> int:
    """The schema's version; 0 for an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (witness,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (version, witness) == (0, 0) and tables == 0:
        return 0
    if (version, witness) == (1, 0):
        return 1
    if witness != _APPLICATION_ID + version:
        raise Damaged("it is no store, or its head is garbled")
    if version != _SCHEMA_VERSION:
        raise NewerRelease(f"made by another release (schema {version})")
    return int(version)


def _check_pages(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(f"SQLite says: {verdict}")


def _node_of(epoch: UUID, writer: Writer | None, wishes: Mapping[UUID, Wish], commits: int) -> Node:
    total = _total(_row(uuid, wish) for uuid, wish in wishes.items())
    return Node(epoch, writer, commits, len(wishes), total)


def _row(uuid: UUID, wish: Wish) -> tuple[bytes, int, int, bytes]:
    content = uuid.bytes + wish.gen.to_bytes(8, "big") + bytes([wish.present])
    return uuid.bytes, wish.gen, int(wish.present), _sum64(content)


def _total(rows: Iterable[tuple[bytes, int, int, bytes]]) -> int:
    total = 0
    for *_, checksum in rows:
        total ^= int.from_bytes(checksum, "big")
    return total


def _sum64(content: bytes) -> bytes:
    return blake2b(content, digest_size=8).digest()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _make_empty(path: Path) -> None:
    """Where it is missing: closing a file that SQLite has open would drop its locks."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _inode(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        seen = path.stat()
        return seen.st_dev, seen.st_ino
    return None


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
