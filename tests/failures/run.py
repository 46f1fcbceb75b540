"""One run of a scenario: a whole back-end under trade, a fault, the closing check, the row.

Nothing of a row is written down by its scenario: all of it is observed at the proxies, at the
nodes, in the database and by real connections.
"""

import asyncio
import random
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp.connector
import pytest

from actors.runtime.actor import AsyncioActor
from bot.sandbox import Person
from storage.database import OUTAGES
from storage.links import LinkCipher
from supervisors.engine.snapshot import find
from tests.failures.cells import OPEN, Cells, Doors, Observed, cells, misses
from tests.failures.money import (
    BOUGHT,
    FOUND_BY_OWNERS,
    RECORDED,
    Books,
    Charge,
    Fate,
    Taken,
    compare,
    of_crypto_pay,
    of_telegram,
)
from tests.failures.scenario import Scenario, Setting
from tests.faults.convergence import (
    FIRST,
    HAPPENED,
    OWNER,
    SECOND,
    SERVED_SINCE,
    WANTED,
    Site,
    Town,
    Trade,
    town,
)
from tests.faults.own_postgres import OwnPostgres, own_postgres
from tests.faults.own_process import OwnProcessTown, People, TalkingTown
from tests.faults.proxy import Identities, Rule, Seen
from tests.faults.turnstile import link_of, turnstile
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import eventually
from tests.integration.shop import pass_time

#: A closing check takes as long on a busy machine, whatever the bound, seconds.
LOOK_S = 1.0
#: And is not made again at once: to look costs too.
LOOK_EVERY_S = 0.1
#: What does not heal is given up after so many bounds, or so long, seconds.
GIVE_UP = 3.0
GIVE_UP_S = 30.0
#: Between two rounds at the doors while the scenario runs, and for one connection, seconds.
ROUND_S = 1.0
DOOR_S = 5.0
#: Of people who are to buy, so many do at once.
AT_ONCE = 8
#: Doors in a round: who bought last, who was shut out last, as many of each node: else an outage of
#: one would have only the other's people tried.
MOST_DOORS = 24
CONNECTIONS_AT = "supervisors.world.CONNECTIONS"
#: Longer than a call waits for an answer, in the policies' time, seconds.
HELD_S = 30.0

#: Who has a right, also while a node is still to be told so again; who has none any more, from the
#: node's own word that he is out.
RIGHTS = """
SELECT c.uuid, c.node_id, s.user_id, c.desired = 'present' AND s.status = 'active' AS right
FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE c.first_applied_at IS NOT NULL AND (
    c.desired = 'absent' AND c.applied_gen = c.gen
    OR c.desired = 'present' AND s.status = 'active'
)
ORDER BY c.applied_at DESC
"""
UNAPPLIED = """
SELECT count(*) FROM credentials c JOIN nodes n ON n.id = c.node_id
WHERE c.applied_gen < c.gen AND (n.state <> 'frozen' OR c.desired = 'present')
"""
FROZEN = "SELECT id FROM nodes WHERE state = 'frozen'"
OPENED = """
SELECT count(*) >= $2 FROM supervision_events
WHERE kind = 'breaker_changed' AND actor = 'provisioner/' || $1 AND details->>'after' = 'open'
"""
WANTED_OR_GOING = """
SELECT uuid FROM credentials WHERE node_id = $1 AND (desired = 'present' OR applied_gen < gen)
"""
KEYS = """
SELECT uuid, node_id, desired = 'present' AS wanted, applied_gen = gen AS applied
FROM credentials WHERE created_at < $1
"""
#: The program's own acts, as in giving held money back, are nobody's command; nor is what people of
#: the trade ask an owner for, in a chat or not.
COMMANDS = """
SELECT action FROM admin_actions WHERE at > $1 AND actor NOT IN ($2, 'tollgate')
    AND NOT (actor = $3 AND action = 'grant')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table. `why` is empty where all is as it should be.

    `unable` says why this machine cannot show the fault.
    """

    id: int
    title: str
    cells: Cells
    target: Cells
    sent: int
    different: int
    bound_s: float
    healed_s: float | None
    seed: int
    fault_hits: int
    factor: float
    why: str = ""
    unable: str = ""

    @property
    def ok(self) -> bool:
        """Whether the fault was shown and met, and every cell is at its target in time."""
        return not self.why and not self.unable


@dataclass
class Run:
    """What a scenario acts on and is observed by.

    Attributes:
        random: whatever a scenario chooses is chosen by this, so that its seed repeats it.
        patch: what is changed of this process for the run.
        strangers: whom the scenario let in behind the back-end's back.
        gaps: distances of attempts at what is no wish, where those are what backs off; seconds.
        fates: what has to become of a charge, where more than one thing may.
        watched: people who try doors in every round, however many others there are.
        besides: what else has to be so before the world counts as healed.
        closing: what the scenario checks once it has.
        stack: what is to last until the run is over.
        unable: why this machine cannot show the fault; empty where it can.
    """

    scenario: Scenario
    town: Town
    seed: int
    random: random.Random
    patch: pytest.MonkeyPatch
    strangers: set[UUID] = field(default_factory=set)
    gaps: list[float] = field(default_factory=list)
    fates: dict[Charge, Fate] = field(default_factory=dict)
    watched: set[UUID] = field(default_factory=set)
    besides: list[Callable[[], Awaitable[bool]]] = field(default_factory=list)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    unable: str = ""
    trade: Trade | People | None = None
    #: The server of the database, if it is this run's own.
    postgres: OwnPostgres | None = None
    began: Any = None
    ended: Any = None
    _met: int = 0
    _from: float = 0.0
    _to: float = 0.0
    _meanwhile: list[Doors] = field(default_factory=list)
    _first_link: str = ""
    _watching: asyncio.Task[None] | None = None

    @property
    def first(self) -> Site:
        """The node that suffers."""
        return self.town.sites[FIRST]

    @property
    def second(self) -> Site:
        """The node that must not notice."""
        return self.town.sites[SECOND]

    @property
    def held_s(self) -> float:
        """For longer than a call waits, seconds."""
        return HELD_S / self.town.factor

    # What a scenario does

    @asynccontextmanager
    async def fault(self, *rules: Rule, site: Site | None = None) -> AsyncIterator[None]:
        """The fault, for as long as the context lasts; rules are of the first node's proxy."""
        proxy = (site or self.first).proxy
        self.began = await self.town.value("SELECT now()")
        self._from = _now()
        for rule in rules:
            proxy.add(rule)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
            self.stack.push_async_callback(self._watched)
        try:
            yield
            for rule in rules:
                proxy.lift(rule)
        finally:
            self._to = _now()
            self.ended = await self.town.value("SELECT now()")

    async def quiet(self) -> None:
        """No more trade, and nothing of it under way: whatever is not so later is the fault's."""
        if self.trade is not None:
            await self.trade.end()
        await eventually(self.settled)

    def saw(self, doors: Doors) -> None:
        """Somebody got through, or did not, at another door than those that are tried."""
        self._meanwhile.append(doors)

    def met(self, times: int = 1) -> None:
        """The fault met something that no rule of a proxy counts."""
        self._met += times

    @property
    def hits(self) -> int:
        """How often the fault met something; one that never did proves nothing."""
        rules = [rule for site in self.town.sites.values() for rule in site.proxy.lifted]
        return self._met + sum(rule.hits for rule in rules)

    async def breaker_opened(self, node_id: str = FIRST, times: int = 1) -> None:
        """Until a node's breaker opened so often."""
        await self.town.until(OPENED, node_id, times)

    async def called_again(self, node_id: str = FIRST, *, at_a_time: int = 1) -> None:
        """Until a node's breaker is closed, and it is called so often at a time."""

        async def called() -> bool:
            state = self.health(node_id)
            return bool(state["breaker"] == "closed" and state["at_a_time"] >= at_a_time)

        await eventually(called)

    def actor(self, name: str) -> AsyncioActor | None:
        """One that runs now; None while it is started anew."""
        assert self.town._backend is not None
        found = find(self.town._backend.root, name)
        return None if found is None else found[1].actor

    def health(self, node_id: str = FIRST) -> Mapping[str, Any]:
        """What operators see of a node's provisioner; its breaker is "" while that starts anew."""
        actor = self.actor(f"provisioner/{node_id}")
        return actor.describe() if actor else {"breaker": ""}

    async def mended(self) -> float:
        """Until nodes have what rows want of all who had a key by now; how long that took, seconds.

        Trade goes on: of those who come meanwhile somebody is always on the way.
        """
        began, by = _now(), await self.town.value("SELECT now()")
        await eventually(lambda: self._has(by))
        return _now() - began

    async def _has(self, by: datetime) -> bool:
        rows = await self.town.sql(KEYS, by)
        for site in self.town.sites.values():
            own = {row["uuid"]: row["wanted"] for row in rows if row["node_id"] == site.id}
            listed = {uuid for uuid, _ in await site.listed() or ()}
            if listed & own.keys() != {uuid for uuid, wanted in own.items() if wanted}:
                return False
        return all(row["applied"] for row in rows)

    async def served_meanwhile(
        self, node_id: str = SECOND, people: int = 3, since: Any = None
    ) -> None:
        """Until so many who came after the fault began, or after `since`, have access on a node."""

        async def served() -> bool:
            found = await self.town.value(SERVED_SINCE, node_id, since or self.began)
            return bool(found >= people)

        await eventually(served)

    async def pass_time(self, seconds: float) -> None:
        """Make all that happened so much older, seconds."""
        async with connected(self.town.database_url) as rows:
            await pass_time(rows, seconds)

    async def customers(self, count: int, node_id: str = FIRST) -> list[Person]:
        """People who bought on a node and have their links."""
        people = [await self.town.newcomer() for _ in range(count)]
        for first in range(0, count, AT_ONCE):
            some = people[first : first + AT_ONCE]
            await asyncio.gather(*(self.town.buy(person, node_id) for person in some))

        async def told() -> bool:
            return all(person.link for person in people)

        await eventually(told)
        return people

    async def happened(self, kind: str, node_id: str = FIRST) -> None:
        """Until the journal has such an event of a node."""
        await self.town.until(f"SELECT ({HAPPENED}) > 0", kind, node_id)

    async def owner_reads(self, *words: str) -> None:
        """Until a message to the owner has all these words."""
        owner = self.town.sandbox.person(OWNER)

        async def read() -> bool:
            return any(all(w in message.text for w in words) for message in owner.messages)

        await eventually(read)

    # What is observed

    async def _watch(self) -> None:
        """Try doors again and again, from the fault's beginning until all has healed."""
        while True:
            with suppress(*OUTAGES):  # while PostgreSQL is away nobody knows who has a right
                self._meanwhile.append(await self.try_doors())
            await pause(ROUND_S)

    async def _watched(self) -> None:
        """No more of that."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def try_doors(self, timeout_s: float = DOOR_S) -> Doors:
        """Have people with a right and without one try to get through, by real connections."""
        before = await self._rights()
        links = {uuid: link for uuid, (link, _) in before.items() if link}
        if not links:
            return Doors()
        unknown, *strangers = uuid4(), *islice(self.strangers, MOST_DOORS // 2)
        links[unknown] = link_of(next(iter(links.values())), unknown)
        for stranger in strangers if self._first_link else ():
            links[stranger] = link_of(self._first_link, stranger)
        async with turnstile(links) as doors:
            got = await doors.let_in(self.town.page.url, timeout_s=timeout_s)
        after = await self._rights()
        stable = {
            uuid: right
            for uuid, (_, right) in before.items()
            if after.get(uuid, ("", None))[1] is right
        }
        stable |= dict.fromkeys((unknown, *strangers), False)
        return Doors(
            without_right=frozenset(u for u, right in stable.items() if not right and u in got),
            shut_out=frozenset(u for u, right in stable.items() if right and u not in got),
        )

    async def _rights(self) -> dict[UUID, tuple[str, bool]]:
        """Links of those whose right is settled, and whether they have one."""
        found = await self.town.sql(RIGHTS)
        people = [
            row
            for node_id, right in product(self.town.sites, (True, False))
            for row in [
                row for row in found if row["node_id"] == node_id and row["right"] is right
            ][: MOST_DOORS // 4]
        ]
        people += [row for row in found if row["uuid"] in self.watched]
        example = {row["node_id"]: link for row in found if (link := self._told(row))}
        self._first_link = example.get(FIRST, self._first_link)
        return {
            row["uuid"]: (
                self._told(row)
                or (
                    link_of(example[row["node_id"]], row["uuid"])
                    if row["node_id"] in example
                    else ""
                ),
                row["right"],
            )
            for row in people
        }

    def _told(self, row: Any) -> str:
        """The link of somebody's chat, if it is this one."""
        link = self.town.sandbox.person(row["user_id"]).link or ""
        return link if link.startswith(f"vless://{row['uuid']}@") else ""

    async def frozen(self) -> frozenset[str]:
        """Nodes that are frozen, of which the owner has read why."""
        texts = [message.text for message in self.town.sandbox.person(OWNER).messages]
        return frozenset(
            row["id"]
            for row in await self.town.sql(FROZEN)
            if any(row["id"] in text and "frozen" in text.lower() for text in texts)
        )

    async def books(self) -> Books:
        """Each charge that the emulators took, and what became of it."""
        async with connected(self.town.database_url) as one:
            found, rows, bought = [
                await one.fetch(query) for query in (FOUND_BY_OWNERS, RECORDED, BOUGHT)
            ]
        by_owners = {
            ("manual", row["id"]): Taken(amount=row["price"], currency=row["currency"])
            for row in found
        }
        taken = of_telegram(self.town.sandbox) | of_crypto_pay(self.town.coins) | by_owners
        owners = [self.town.sandbox.person(one) for one in self.town.settings.telegram.admins]
        alerts = [message.text for owner in owners for message in owner.messages]
        books = compare(taken, rows, [row["source_id"] for row in bought], alerts)
        missed = [
            f"{' '.join(charge)} was to be {fate}"
            for charge, fate in self.fates.items()
            if books.fates.get(charge) != fate
        ]
        return Books(fates=books.fates, wrong=(*books.wrong, *missed))

    async def settled(self) -> bool:
        """Whether nodes have what the rows want, all is confirmed, and people know their links.

        Also whether all money is where it belongs.

        On a frozen node nobody is removed: it may have more.
        """
        frozen = await self.frozen()
        if await self.town.value(UNAPPLIED):
            return False
        for site in self.town.sites.values():
            wanted = {(row["uuid"], row["gen"]) for row in await self.town.sql(WANTED, site.id)}
            listed = await site.listed()
            if (
                listed is None
                or not wanted <= listed
                or (site.id not in frozen and listed != wanted)
            ):
                return False
        if not all([await holds() for holds in self.besides]):
            return False
        return await self.all_told() and not (await self.books()).wrong

    async def all_told(self) -> bool:
        """Whether everybody with access has read the link of just this key."""
        return all(self._told(row) for row in await self.town.sql(RIGHTS) if row["right"])

    async def heal(self, bound_s: float) -> tuple[float | None, Doors]:
        """Wait until the closing check holds; the seconds since the fault's end, and the doors."""
        try:
            return await self._healed(bound_s)
        finally:
            await self._watched()

    async def _healed(self, bound_s: float) -> tuple[float | None, Doors]:
        if self.trade is not None:
            # What they have begun is waited for below, as money and as access.
            await self.trade.end(at_once=True)
        give_up = self._to + max(GIVE_UP * bound_s, bound_s + GIVE_UP_S)
        doors, tried = Doors(), False
        while _now() < give_up:
            if not await self.settled():
                await pause(LOOK_EVERY_S)
                continue
            at = _now()
            doors = await self.try_doors()
            frozen = await self.frozen()
            if not doors.shut_out and (not doors.without_right or frozen):
                return (_now() if tried else at) - self._to, doors
            tried = True
            self._meanwhile.append(doors)
        return None, doors

    async def leaked(self) -> frozenset[UUID]:
        """Who is on nodes without a row that wants it, or wanted it a moment ago."""
        found: set[UUID] = set()
        for site in self.town.sites.values():
            before = await self.town.sql(WANTED_OR_GOING, site.id)
            listed = {uuid for uuid, _ in await site.listed() or ()}
            after = await self.town.sql(WANTED_OR_GOING, site.id)
            found |= listed - {row["uuid"] for row in (*before, *after)}
        return frozenset(found)

    async def observed(self) -> Observed:
        """Wait for the closing check and tell what was seen."""
        bound_s = self.scenario.bound_s / self.town.factor
        healed_s, close = await self.heal(bound_s)
        breakers = {node_id: await self.town.breaker(node_id) for node_id in self.town.sites}
        proxies = [site.proxy for site in self.town.sites.values()]
        counted = [proxy.amplification() for proxy in proxies]
        acts = await self.town.sql(COMMANDS, self.ended, f"tg:{OWNER}", f"telegram:{OWNER}")
        return Observed(
            leaked=await self.leaked(),
            frozen=await self.frozen(),
            meanwhile=tuple(self._meanwhile),
            close=close,
            sent=sum(sent for sent, _ in counted),
            different=sum(different for _, different in counted),
            breakers=breakers,
            node=FIRST,
            gaps=self.gaps or self._gaps(self.first.proxy.requests, probes=OPEN in breakers[FIRST]),
            commands=[row["action"] for row in acts],
            healed_s=healed_s,
            bound_s=max(bound_s, LOOK_S),
            hits=self.hits,
        )

    def _gaps(self, requests: Sequence[Seen], *, probes: bool) -> list[float]:
        """Distances of attempts at one wish, and of probes, while the fault lasted.

        Unless a breaker opened there was no probe: a healthy node is visited every half a minute,
        and evenly.
        """
        attempts: defaultdict[object, list[float]] = defaultdict(list)
        for seen in requests:
            if not self._from <= seen.at <= self._to:
                continue
            probe = (seen.path,) if probes and seen.path == "/readyz" else ()
            for wish in seen.wishes or probe:
                attempts[wish].append(seen.at)
        return [
            (later - earlier) * self.town.factor
            for times in attempts.values()
            for earlier, later in pairwise(times)
        ]


@asynccontextmanager
async def running(
    scenario: Scenario,
    folder: Path,
    database_url: str,
    cipher: LinkCipher,
    seed: int,
) -> AsyncIterator[Run]:
    """The scenario's world, with trade that has been served on both nodes."""
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        identities = None
        if scenario.setting.tls:
            identities = Identities()
            context = ssl.create_default_context(cadata=identities.trusted)
            patch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)
        if scenario.setting.connections is not None:
            patch.setattr(CONNECTIONS_AT, scenario.setting.connections)
        postgres = None
        if scenario.setting.own_postgres:
            postgres = await stack.enter_async_context(own_postgres())
            database_url = postgres.url
        async with town(
            folder,
            database_url,
            cipher,
            identities,
            factor=scenario.setting.factor,
            toml=scenario.setting.toml,
            database_proxy=scenario.setting.database_proxy,
            owners=scenario.setting.owners,
            called=scenario.setting.called,
            more_ways=scenario.setting.more_ways,
            node=scenario.setting.node,
            of=_kind(scenario.setting),
        ) as made:
            source = random.Random(seed)  # noqa: S311 - repeatable
            run = Run(scenario, made, seed, source, patch)
            run.postgres = postgres
            run.began = await made.value("SELECT now()")
            if scenario.setting.trade:
                run.trade = People(made) if isinstance(made, TalkingTown) else Trade(made)
                for node_id in made.sites:
                    await run.served_meanwhile(node_id)
            try:
                async with run.stack:
                    yield run
            finally:
                if run.trade is not None:
                    await run.trade.end()


async def play(
    scenario: Scenario,
    folder: Path,
    database_url: str,
    cipher: LinkCipher,
    seed: int,
) -> Row:
    """Run a scenario to its end; the line of the table."""
    async with running(scenario, folder, database_url, cipher, seed) as run:
        await scenario.play(run)
        seen = await run.observed()
        found = cells(seen, scenario.envelope)
        off = misses(found, scenario.target)
        why = [
            f"{column.upper()} expected {expected}, saw {got}"
            for column, (expected, got) in off.items()
        ]
        if "bo" in off:
            why.append(f"seconds apart: {' '.join(f'{gap:.3f}' for gap in sorted(seen.gaps))}")
        why += [f"money: {wrong}" for wrong in (await run.books()).wrong]
        if not run.hits:
            why.append("the fault never met anything")
        if not why:
            await run.town.check(frozenset(run.strangers), equal=not seen.frozen)
            for check in run.closing:
                await check()
    return Row(
        id=scenario.id,
        title=scenario.title,
        cells=found,
        target=scenario.target,
        sent=seen.sent,
        different=seen.different,
        bound_s=seen.bound_s,
        healed_s=seen.healed_s,
        seed=seed,
        fault_hits=run.hits,
        factor=scenario.setting.factor,
        why="; ".join(why),
        unable=run.unable,
    )


def uuid_of(person: Person) -> UUID:
    """Of the link in somebody's chat."""
    assert person.link is not None
    return UUID(person.link.partition("://")[2].partition("@")[0])


def _kind(setting: Setting) -> type[Town] | None:
    if setting.own_process:
        return OwnProcessTown
    return TalkingTown if setting.talking else None


def _now() -> float:
    return asyncio.get_running_loop().time()


async def fired(rule: Rule, times: int = 1) -> None:
    """Until a rule has met so many requests."""

    async def met() -> bool:
        return rule.hits >= times

    await eventually(met)


async def answered(rule: Rule) -> None:
    """Until the node has answered a request that a rule met."""

    async def heard() -> bool:
        return bool(rule.answered)

    await eventually(heard)


async def pause(seconds: float) -> None:
    """So long, seconds of true time, and nothing else."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
