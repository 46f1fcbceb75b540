"""A phase is what one step writes: known by its name, and done again where PostgreSQL undid it.

Of two transactions that wait for each other PostgreSQL undoes one, whole. Nobody needs to hear:
phases are safe to repeat.
"""

import asyncio
import functools
import inspect
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import structlog

from storage.errors import RolledBack

log = structlog.get_logger(__name__)

#: So often is a phase tried in all.
TRIES = 3
#: Between two tries, seconds; at random, so that two that met do not meet again.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.2

#: The phase in hand; none in what is no phase's.
name: ContextVar[str] = ContextVar("name_of_a_phase", default="")

Phases = TypeVar("Phases")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def phases(cls: type[Phases]) -> type[Phases]:
    """Make each coroutine method of a class a phase."""
    for key, found in list(vars(cls).items()):
        if inspect.iscoroutinefunction(found):
            setattr(cls, key, _phase(found))
    return cls


def _phase(work: Callable[Arguments, Awaitable[Result]]) -> Callable[Arguments, Awaitable[Result]]:
    @functools.wraps(work)
    async def phase(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if name.get():  # a part of another one
            return await work(*args, **kwargs)
        token = name.set(work.__qualname__)
        try:
            return await _repeated(lambda: work(*args, **kwargs))
        finally:
            name.reset(token)

    return phase


async def _repeated(work: Callable[[], Awaitable[Result]]) -> Result:
    for tries in range(1, TRIES):
        try:
            return await work()
        except RolledBack as undone:
            pause_s = _pause_s()
            log.info("phase_repeated", phase=name.get(), tries=tries, reason=str(undone))
            await asyncio.sleep(pause_s)  # noqa: TID251 - PostgreSQL's own weather, in its time
    return await work()


def _pause_s() -> float:
    return random.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S)  # noqa: S311 - guards nothing
