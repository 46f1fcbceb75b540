"""Random calls with new, repeated and stale generations: the node does what a small model does.

The model is written from the contract and shares no code with the node.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.node_fixtures import fresh_files, running
from xray_api.client.client import NodeClient
from xray_api.client.errors import StaleGeneration
from xray_api.contract import Operation

USERS = st.integers(0, 4)
GENS = st.integers(1, 6)
OPERATIONS = st.tuples(st.sampled_from(["put", "delete"]), USERS, GENS)
CALLS = st.one_of(
    st.tuples(st.just("one"), OPERATIONS),
    st.tuples(st.just("batch"), st.lists(OPERATIONS, min_size=1, max_size=12)),
    st.tuples(st.just("snapshot"), st.dictionaries(USERS, GENS)),
)


@dataclass
class Model:
    """What the contract says of one node: the highest wish of each user stands."""

    wishes: dict[UUID, tuple[int, bool]] = field(default_factory=dict)

    def take(self, uuid: UUID, gen: int, *, present: bool) -> int | None:
        """One wish; the generation that keeps it out, if one does."""
        standing = self.wishes.get(uuid)
        if standing is None or gen > standing[0]:
            self.wishes[uuid] = (gen, present)
            return None
        return None if standing == (gen, present) else standing[0]

    @property
    def present(self) -> set[UUID]:
        """Who is let in."""
        return {uuid for uuid, (_, present) in self.wishes.items() if present}

    def replace(self, users: dict[UUID, int]) -> tuple[int, int, int, int]:
        """A snapshot; how many it added, removed, kept, and came too late for."""
        before = self.present
        stale = sum(self.take(uuid, gen, present=True) is not None for uuid, gen in users.items())
        for uuid in before - set(users):
            self.wishes[uuid] = (self.wishes[uuid][0], False)
        after = self.present
        return len(after - before), len(before - after), len(after & before), stale


class Node:
    """A real node with a real Xray, and the model beside it."""

    def __init__(self, client: NodeClient, epoch: UUID) -> None:
        self._client = client
        self._epoch = epoch
        self._model = Model()

    async def do(self, calls: list[tuple[str, object]]) -> None:
        """Calls for users who were never here before; each is compared, and the end too."""
        users = [uuid4() for _ in range(5)]
        for kind, asked in calls:
            match kind, asked:
                case "one", (str(op), int(user), int(gen)):
                    await self._one(op, users[user], gen)
                case "batch", list(operations):
                    await self._batch([(op, users[user], gen) for op, user, gen in operations])
                case "snapshot", dict(found):
                    await self._snapshot({users[user]: gen for user, gen in found.items()})
        listed = {user.uuid: user.gen for user in (await self._client.list_users()).users}
        model = self._model
        assert listed == {uuid: model.wishes[uuid][0] for uuid in model.present}

    async def _one(self, op: str, uuid: UUID, gen: int) -> None:
        expected = self._model.take(uuid, gen, present=op == "put")
        call = self._client.put if op == "put" else self._client.remove
        found = None
        try:
            await call(uuid, gen, self._epoch)
        except StaleGeneration as error:
            found = error.node_gen
        assert found == expected

    async def _batch(self, operations: list[tuple[str, UUID, int]]) -> None:
        asked = [
            Operation.model_validate({"op": op, "uuid": uuid, "gen": gen})
            for op, uuid, gen in operations
        ]
        reply = await self._client.batch(self._epoch, asked)
        for (op, uuid, gen), result in zip(operations, reply.results, strict=True):
            newer = self._model.take(uuid, gen, present=op == "put")
            status = "applied" if newer is None else "stale"
            assert (result.status, result.gen) == (status, newer or gen)
            assert (result.vless_link is not None) == (op == "put" and newer is None)

    async def _snapshot(self, users: dict[UUID, int]) -> None:
        reply = await self._client.snapshot(self._epoch, users, allow_shrink=1_000_000)
        expected = self._model.replace(users)
        assert (reply.added, reply.removed, reply.kept, reply.stale) == expected


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Node]]:
    """It lives in a loop of its own, which runs while it is asked."""
    stack = AsyncExitStack()

    async def begin() -> Node:
        files = await stack.enter_async_context(fresh_files(tmp_path / "node"))
        await stack.enter_async_context(running(files.settings()))
        client = await stack.enter_async_context(files.client())
        return Node(client, (await client.ready()).epoch)

    with asyncio.Runner() as runner:
        yield runner, runner.run(begin())
        runner.run(stack.aclose())


@pytest.mark.parametrize(
    "examples", [150, pytest.param(1_500, marks=pytest.mark.deep)], ids=["quick", "many"]
)
def test_random_calls_end_as_the_model_says(
    node: tuple[asyncio.Runner, Node], examples: int
) -> None:
    runner, real = node

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(CALLS, min_size=1, max_size=8))
    def check(calls: list[tuple[str, object]]) -> None:
        runner.run(real.do(calls))

    check()
