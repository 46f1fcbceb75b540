"""Logs for people and for machines, with secrets cut out by the logger, not by memory."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

#: A bot token anywhere, in Telegram's URLs too; a link with what it carries; a URL's user.
SECRET_SHAPES = re.compile(
    r"\d{5,}:[A-Za-z0-9_-]{30,}|vless://\S+|(?<=://)[^\s/@]*:[^\s/]*(?=@)", re.IGNORECASE
)
#: 8 characters tell one user's uuid from another's in a log; the whole would let its reader in.
UUID = re.compile(
    r"(?<![0-9a-f])([0-9a-f]{8})(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
UUID_KEYS = re.compile(r"(^|_)uuids?$", re.IGNORECASE)
UUID_SHOWN = 8
SECRET_KEYS = re.compile(r"token|api_key|password|secret|link$|private", re.IGNORECASE)
REDACTED = "[redacted]"


def configure_logging(style: Literal["people", "machines"] | None = None) -> None:
    """Send structured events to standard error.

    Args:
        style: coloured lines, or one JSON object a line; by default lines on a terminal only.
    """
    people = style == "people" if style else sys.stderr.isatty()
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if people
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            drop_empty,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log on their own; what they warn of goes the same way, and nothing else does.
    logging.basicConfig(level=logging.WARNING, handlers=[_ForwardingHandler()], force=True)
    # aiogram tells each failed update with a traceback; the inbox tells it once, with its fate.
    logging.getLogger("aiogram.event").setLevel(logging.CRITICAL)


def drop_empty(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave out context that says nothing."""
    for key in ("correlation_id", "operation_id", "actor"):
        if event.get(key) == "":
            del event[key]
    return event


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Cut secrets out by key and by shape, in everything that an event carries."""
    return {key: _redact(str(key), value) for key, value in event.items()}


def redacted(text: str) -> str:
    """A text without what has the shape of a secret."""
    return UUID.sub(r"\1", SECRET_SHAPES.sub(REDACTED, text))


def _redact(key: str, value: Any) -> Any:
    if SECRET_KEYS.search(key):
        return REDACTED
    if UUID_KEYS.search(key):  # whatever its shape: without dashes it is one to Xray, too
        return _shortened(value)
    return _clean(value)


def _shortened(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_shortened(item) for item in value]
    return None if value is None else redacted(str(value))[:UUID_SHOWN]


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return redact(None, "", dict(value))
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return _clean(str(value))


class _ForwardingHandler(logging.Handler):
    """What libraries log, as our events."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = structlog.get_logger(record.name)
            log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - a bad log call of a library is no reason to fail there
            self.handleError(record)
