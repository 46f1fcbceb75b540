"""Plays stories, one after the other, on one database and one event loop."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

import asyncpg
from hypothesis import HealthCheck, Phase, given, seed, settings

from storage.database import SESSION, prepare
from storage.links import LinkCipher
from tests.integration.database_fixtures import TEMPLATE, Rows, Server, fresh_database
from tests.integration.shop import pass_time
from tests.stateful.agreement import assert_agreement, undone
from tests.stateful.back_end import HURRY, Stage
from tests.stateful.steps import STEPS, Step, Story

#: Looks at what is left, each after all that is due was done.
MOST_LOOKS = 12
KNOWN = "SELECT count(*) FROM payments WHERE provider_payment_id = ANY($1)"
#: All but the explanation of a failure, which takes longer than its search.
PHASES = (Phase.explicit, Phase.generate, Phase.target, Phase.shrink)


class Theatre:
    """A loop, a database, connections: what is too dear to make for each story.

    Attributes:
        played: how many stories were.
        lives: how many lives the back-end had in them.
        heard: what users' actors answered, by kind, and how often nothing.
    """

    def __init__(
        self,
        runner: asyncio.Runner,
        pool: "asyncpg.Pool[asyncpg.Record]",
        rows: Rows,
        cipher: LinkCipher,
        *,
        fenced: bool = True,
    ) -> None:
        self.runner = runner
        self.pool = pool
        self.rows = rows
        self.cipher = cipher
        self.fenced = fenced
        self.played = 0
        self.lives = 0
        self.heard: Counter[str] = Counter()

    def play(self, steps: Sequence[Step]) -> None:
        """Play one story from an empty database to the end; raises where it goes wrong."""
        self.runner.run(self._play(steps))

    def alter(self, statement: str) -> None:
        """Take something away from this theatre's database."""
        self.runner.run(self.rows.execute(statement))

    def play_many(self, number: int, seeded: int, *, shrink: bool = True) -> None:
        """Play so many random stories; a failure is a short one, with its steps."""

        @seed(seeded)
        @settings(
            max_examples=number,
            deadline=None,
            database=None,
            print_blob=False,
            phases=PHASES if shrink else PHASES[:-1],
            suppress_health_check=list(HealthCheck),
        )
        @given(STEPS)
        def story(steps: Sequence[Step]) -> None:
            self.play(steps)

        story()

    async def _play(self, steps: Sequence[Step]) -> None:
        stage = Stage(self.pool, self.rows, self.cipher, fenced=self.fenced)
        await stage.open()
        try:
            story = Story(stage)
            for step in steps:
                await step.take(story)
            await _end(story)
        finally:
            await stage.close()
            self.played += 1
            self.lives += stage.lives
            self.heard += stage.heard


async def _end(story: Story) -> None:
    """No fault any more, and everybody insists on what was not heard; then nothing is left."""
    stage = story.stage
    for gateway in stage.gateways.values():
        gateway.troubles.clear()
    for node in stage.nodes.values():
        node.heal()
    await stage.lay_ghosts()
    await stage.restart()
    for booked in story.charges:
        if booked.pushed and not booked.told:
            await story.push(booked)
    stage.life.poll()
    for _ in range(MOST_LOOKS):
        await stage.rows.execute(HURRY)
        await stage.let_time_pass()
        if not await undone(stage) and await _all_known(story):
            break
        for booked in story.charges:
            if not booked.noted:
                await story.note(booked)
        await pass_time(stage.rows, 3.0)
    for node in stage.nodes.values():
        node.deliver()
    await assert_agreement(story)


async def _all_known(story: Story) -> bool:
    """Whether everything that providers did has arrived."""
    numbers = [booked.number for booked in story.charges if booked.provider != "manual"]
    known: int = await story.stage.rows.fetchval(KNOWN, numbers)
    return known >= len(numbers) and all(booked.noted for booked in story.charges)


@contextlib.contextmanager
def opened(server: Server, cipher: LinkCipher, *, fenced: bool = True) -> Iterator[Theatre]:
    """A theatre with a database of its own."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def build() -> Theatre:
            url = await stack.enter_async_context(fresh_database(server, TEMPLATE))
            pool = await asyncpg.create_pool(
                url, min_size=1, max_size=12, server_settings=SESSION, init=prepare
            )
            stack.callback(pool.terminate)
            rows = await asyncpg.connect(url)
            stack.callback(rows.terminate)
            return Theatre(runner, pool, rows, cipher, fenced=fenced)

        try:
            yield runner.run(build())
        finally:
            runner.run(stack.aclose())
