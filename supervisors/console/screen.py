"""The terminal that a command writes to, and a picture on it that is drawn anew and anew."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import typer

#: Columns where there is no terminal that could run out of them.
ENDLESS = 10_000

OPEN = "\x1b[?1049h\x1b[?25l"
CLOSE = "\x1b[?25h\x1b[?1049l"
HOME = "\x1b[H"
END_OF_LINE = "\x1b[K"
REST_OF_SCREEN = "\x1b[J"

#: Draws one picture, in lines.
Picture = Callable[[], Awaitable[list[str]]]


def is_terminal() -> bool:
    """Whether a person looks, and not a file or another program."""
    return sys.stdout.isatty()


def in_colour() -> bool:
    """Whether lines may stand out; see no-color.org."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def columns() -> int:
    """How wide a line may be."""
    return shutil.get_terminal_size().columns if is_terminal() else ENDLESS


def write(lines: list[str]) -> None:
    """Lines, one after the other."""
    typer.echo("\n".join(lines))


def watch(picture: Picture, *, every_s: float, count: int | None) -> None:
    """Draw a picture in place until Ctrl-C, or `count` times."""
    try:
        asyncio.run(_watch(picture, every_s, count))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return  # the way out


async def _watch(picture: Picture, every_s: float, count: int | None) -> None:
    with _own_screen() as draw:
        drawn = 0
        while True:
            draw(await picture())
            drawn += 1
            if drawn == count:
                return
            await asyncio.sleep(every_s)  # noqa: TID251 - a person watches in real time


@contextmanager
def _own_screen() -> Iterator[Callable[[list[str]], None]]:
    if not is_terminal():
        yield write
        return
    task = asyncio.current_task()
    if task is not None:  # a terminal is given back as it was, also on `kill`
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    _put(OPEN)
    try:
        yield _draw_in_place
    finally:
        _put(CLOSE)


def _draw_in_place(lines: list[str]) -> None:
    height = shutil.get_terminal_size().lines
    if len(lines) > height:
        hidden = len(lines) - (height - 1)
        lines = [*lines[: height - 1], f"… {hidden} more lines in a taller window"]
    _put(HOME + "\n".join(line + END_OF_LINE for line in lines) + REST_OF_SCREEN)


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
