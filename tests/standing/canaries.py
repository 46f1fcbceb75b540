"""No secret of a test is told: in no log as the program writes it, no cell of a table, no alert.

What the program cuts out (`config/logging.py`) is cut out here too, before anything is looked for.
"""

import logging
import re
import traceback
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from config.logging import drop_empty, redact, redacted

#: A bot token in its own shape, and the secrets that tests share. Shapes alone are not enough: an
#: API key has none, so each is a word that stands nowhere else.
SECRETS = (
    r"\d{4,}:[A-Za-z0-9_-]{30,}",
    r"canary[ -]of[ -]a[ -]token",
    r"no-secret-no-secret-",
    r"a master secret for tests, long enough",
    r"0123456789abcdef0123",
)
SECRET = re.compile("|".join(SECRETS))
#: A whole link lets its reader in.
LINK = re.compile(r"vless://[0-9a-f]{8}-[0-9a-f-]{27}@", re.IGNORECASE)
IN_LOGS = re.compile(f"{SECRET.pattern}|{LINK.pattern}", re.IGNORECASE)

#: Every cell of every table as text; the pattern is PostgreSQL's and says the same as `SECRET`.
#: But for tables that were never written to.
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
"""
CELLS = "SELECT '{table}' AS place, t::text AS cells FROM public.{table} t WHERE t::text ~ $1"
ALERTS = """
SELECT 'an alert' AS place, payload::text AS cells FROM outbox
WHERE kind = 'alert' AND payload::text ~* $2
"""

_found: list[str] = []


@contextmanager
def heard() -> Iterator[list[str]]:
    """What was told of secrets inside the block."""
    before = len(_found)
    own: list[str] = []
    try:
        yield own
    finally:
        own += _found[before:]
        del _found[before:]


def look_for_secrets(where: str, text: str) -> None:
    """Note a text that tells one."""
    match = IN_LOGS.search(text)
    if match is not None:
        begin = max(0, match.start() - 60)
        _found.append(f"{where}: {text[begin : match.end() + 20]}")


def logs_that_tell(folder: Path) -> list[str]:
    """Names of logs that other processes wrote there and that tell a secret."""
    return [
        file.name
        for file in folder.rglob("*.log")
        if IN_LOGS.search(file.read_text(errors="replace"))
    ]


def _look_into_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    look_for_secrets("structlog", repr(event))
    return event


class LookingHandler(logging.Handler):
    """What libraries warn of, as the program would write it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Look into a record and its traceback."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += "".join(traceback.format_exception(*record.exc_info))
        look_for_secrets(f"log of {record.name}", redacted(text))


def watched(configure: Callable[..., None]) -> Callable[..., None]:
    """`structlog.configure`, with a look into each event right before it is written."""

    def configure_and_watch(
        processors: Sequence[Any] | None = None, *arguments: Any, **options: Any
    ) -> None:
        if processors:
            processors = [*processors[:-1], _look_into_event, processors[-1]]
        configure(processors, *arguments, **options)

    return configure_and_watch


def log_as_the_program() -> None:
    """Events go through what the program does to them, and are looked into; to standard output."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            drop_empty,
            redact,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )


async def secrets_in(connection: "asyncpg.Connection[Any]") -> list[str]:
    """Where a database tells a secret: a table, and what stands around it."""
    tables = [row["relname"] for row in await connection.fetch(TABLES)]
    if not tables:
        return []
    parts = [CELLS.format(table=table) for table in tables]
    arguments = [SECRET.pattern]
    if "outbox" in tables:
        parts.append(ALERTS)
        arguments.append(LINK.pattern)
    rows = await connection.fetch(" UNION ALL ".join(parts), *arguments)
    return [f"{row['place']}: {_around(row['cells'])}" for row in rows]


def _around(cells: str) -> str:
    match = IN_LOGS.search(cells)
    place = match.start() if match else 0
    return cells[max(0, place - 80) : place + 80]
