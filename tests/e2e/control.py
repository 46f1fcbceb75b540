"""What an operator's tools do with the control socket of a running back-end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from supervisors.operators.socket_path import short_path

#: For everything that is waited for here; far above what any of it takes.
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.05


class Refusal(Exception):  # noqa: N818 - what happened
    """The back-end's answer is a reason why not."""


#: A socket whose server was cut off with the question in hand may never answer it, seconds.
ANSWER_S = PATIENCE_S / 4


@dataclass(frozen=True, slots=True)
class Control:
    """The control socket in a data folder."""

    data_dir: Path

    async def get(self, path: str) -> Any:
        """Look."""
        return await self._ask("GET", path)

    async def post(self, path: str, **wish: Any) -> Any:
        """Have something done."""
        return await self._ask("POST", path, wish)

    async def tree(self) -> dict[str, dict[str, Any]]:
        """Everybody who is there, by name, in the order of the tree."""
        return dict(_named(await self.get("/tree?shown=10000")))

    async def tree_at_last(self) -> dict[str, dict[str, Any]]:
        """As `tree`, however often the socket itself is away meanwhile."""
        found: dict[str, dict[str, Any]] = {}

        async def answered() -> bool:
            try:
                found.update(await self.tree())
            except (OSError, aiohttp.ClientError, TimeoutError):
                return False
            return True

        await until(answered)
        return found

    async def _ask(self, method: str, path: str, wish: dict[str, Any] | None = None) -> Any:
        with short_path(self.data_dir) as socket:
            connector = aiohttp.UnixConnector(socket)
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, f"http://control{path}", json=wish) as response,
            ):
                answer = await response.json()
                if response.status != 200:
                    raise Refusal(f"{response.status}: {answer}")
                return answer


async def until(holds: Callable[[], Awaitable[bool]], *, patience_s: float = PATIENCE_S) -> None:
    """Wait for a state of another process, which announces it to nobody."""
    async with asyncio.timeout(patience_s):
        while not await holds():  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(LOOK_EVERY_S)  # noqa: TID251 - another process's time


def _named(view: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield view["name"], view
    for child in view["children"]:
        yield from _named(child)
