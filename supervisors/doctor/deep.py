"""Holds every row and every node's list to the invariants, and counts what waits for somebody.

Memory is bounded by a page of users, and a page of a node's list.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from uuid import UUID

from config.keys import keys_there
from config.loading import SettingsError
from config.settings import NodeEntry, Settings
from storage.database import Connection
from storage.errors import StorageUnavailable
from storage.invariants.judging import Judge
from storage.invariants.nodes import NodeCase, broken_on
from storage.invariants.reading import broken_pages, users
from storage.invariants.rules import HEALED_WITHIN, Broken, Row
from storage.links import LinkCipher
from storage.looking import DatabaseStanding, Waiting, adopted_on, backlog, keys_of, looking, now
from supervisors.console.words import moment
from supervisors.doctor.asking import where_database_is
from supervisors.doctor.facts import BackendFacts, Facts, NodeFacts
from supervisors.doctor.findings import Finding, failed, note, ok, warning
from supervisors.doctor.judging import CALLED, is_alive, is_rebuilt
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError
from xray_api.client.port import BULK_ATTEMPT_S
from xray_api.contract import ListedUser

#: Told to whoever waits: what is looked at, how many were, and of how many.
Progress = Callable[[str, int, int], None]

#: What holds eventually is asked of a back-end that has worked for so long, seconds.
SETTLED_S = 120.0
#: Named of each rule; the rest is counted.
NAMED = 3
#: So many differences of a list and the rows say that all of it is wrong.
MOST = 1_000
LAST = UUID(int=2**128 - 1)

#: What to do about what waits.
MENDS = {
    "updates and pushes": "look at the back-end: tollgate tree",
    "updates set aside": "tollgate dead-letters",
    "dead letters": "tollgate dead-letters",
    "messages": "look at the notifier: tollgate tree",
    "refunds": "look at the provider, and at: tollgate tree",
    "refunds by hand": "give them back, then /refunded in the chat",
    "payments": "look at the back-end: tollgate tree",
    "held payments": "decide: /held in the chat",
    "keys set aside": "look at the log of their nodes; a restart tries them again",
    "ends of access": "look at: tollgate expiry",
}


async def look_deep(settings: Settings, facts: Facts, progress: Progress) -> list[Finding]:
    """Lines about rows, lists and what waits.

    Raises:
        StorageUnavailable: the database went away meanwhile.
        StorageSetupError: or it is another one.
    """
    url = await asyncio.to_thread(where_database_is, settings)
    if not isinstance(url, str):
        raise StorageUnavailable("the embedded PostgreSQL was stopped")
    async with looking(url) as connection:
        return [
            *of_backlog(await backlog(connection)),
            *await of_rows(connection, settings, facts, progress),
            *[one async for one in of_lists(connection, settings, facts, progress)],
        ]


def of_backlog(found: Iterable[Waiting]) -> list[Finding]:
    """What waits for a person, or for too long."""
    waiting = [one for one in found if one.many]
    if not waiting:
        return [ok("waiting", "nothing waits for somebody, or for too long")]
    return [
        warning(
            "waiting",
            f"{one.many:,} {one.what}" + (f", since {moment(one.since)}" if one.since else ""),
            MENDS[one.what],
        )
        for one in waiting
    ]


async def of_rows(
    connection: Connection, settings: Settings, facts: Facts, progress: Progress
) -> list[Finding]:
    """Every user's rows, held to every rule."""
    settled = is_settled(facts)
    judge = judge_of(settings, facts, settled=settled)
    total, judged, broken = await users(connection), 0, Tally()
    async for count, found in broken_pages(connection, judge):
        judged = count
        # The next page is asked for when this one is judged: a loop of ours may have other work.
        await asyncio.sleep(0)  # noqa: TID251 - a yield, no wait
        broken.add(found)
        progress("users", judged, total)
    findings = broken.findings("rows")
    if not findings:
        findings = [ok("rows", f"{judged:,} users, no rule is broken")]
    if judge.open_link is None:
        findings.append(
            warning(
                "rows",
                "no link was opened: the keys that closed them are not here",
                "see what is said of secrets and identity",
            )
        )
    if not settled:
        findings.append(
            note("rows", "what takes seconds was not asked for: no back-end has worked long enough")
        )
    return findings


async def of_lists(
    connection: Connection, settings: Settings, facts: Facts, progress: Progress
) -> AsyncIterator[Finding]:
    """The list of each node that answers; one that is filled again lacks everybody."""
    for node in settings.nodes:
        match facts.nodes[node.id]:
            case NodeFacts() as found if is_rebuilt(found, node, facts):
                told = "its list was not compared: it was wiped or rebuilt"
                yield note(f"node {node.id}", told, "once it is filled again, run this again")
            case NodeFacts():
                for one in await of_list(connection, node, progress):
                    yield one


async def of_list(
    connection: Connection, node: NodeEntry, progress: Progress, most: int = MOST
) -> list[Finding]:
    """A node's list, compared with the rows; what two lists in a row differ in, up to `most`."""
    about = f"node {node.id}"
    keys = [key.get_secret_value() for key in node.api_keys]
    async with NodeClient(node.url, keys) as client:
        try:
            first, count = await differences(connection, node.id, client, progress, most)
            if not first:
                return [ok(about, f"its list of {count:,} is as the rows say")]
            # Somebody may have bought, or been mended, in between.
            second, count = await differences(connection, node.id, client, progress, most)
        except NodeCallError as error:
            return [warning(about, f"its list stopped: {error}", "run this again")]
    both = {str(one) for one in first}
    tally = Tally()
    tally.add([one for one in second if str(one) in both])
    if len(second) >= most:
        told = f"its list was left after {most:,} differences: there may be more"
        return [*tally.findings(about), note(about, told)]
    return tally.findings(about) or [ok(about, f"its list of {count:,} is as the rows say")]


async def differences(
    connection: Connection, node_id: str, client: NodeClient, progress: Progress, most: int
) -> tuple[list[Broken], int]:
    """What a node's list and the rows differ in, up to `most`, and how many were listed."""
    found: list[Broken] = []
    row = await _row(connection, node_id)
    listed_at, adopted = await now(connection), await adopted_on(connection, node_id)
    listed = 0
    async for first, last, page in pages(client):
        listed += len(page)
        uuids = [user.uuid for user in page]
        case = NodeCase(
            node=row,
            listed=[(user.uuid, user.gen) for user in page],
            rows=await keys_of(connection, node_id, first, last, uuids),
            listed_at=listed_at,
            adopted=adopted,
        )
        found += broken_on(case)
        progress(f"users of node {node_id}", listed, max(listed, len(uuids)))
        if len(found) >= most:
            break
    return found[:most], listed


async def pages(client: NodeClient) -> AsyncIterator[tuple[UUID, UUID, Sequence[ListedUser]]]:
    """The list in ranges of uuids that leave none out: first, last, and who is listed there."""
    first, after = UUID(int=0), None
    while True:
        page = await client.list_users(after=after, deadline_s=BULK_ATTEMPT_S)
        last = page.next or LAST
        yield first, last, page.users
        if page.next is None:
            return
        after, first = page.next, UUID(int=page.next.int + 1)


def is_settled(facts: Facts) -> bool:
    """Whether a back-end has worked for long enough that nothing should be left to do."""
    standing = facts.database
    owner = standing.owner if isinstance(standing, DatabaseStanding) else None
    if owner is None or not is_alive(owner):
        return False
    return isinstance(facts.backend, BackendFacts) and (owner.since_s or 0) > SETTLED_S


def judge_of(settings: Settings, facts: Facts, *, settled: bool) -> Judge:
    """How rows are judged, by what the back-end says of itself and of nodes."""
    backend = facts.backend if isinstance(facts.backend, BackendFacts) else None
    nodes = {row["id"] for row in getattr(facts.database, "nodes", ())}
    called = {
        one.node
        for one in (backend.breakers if backend and backend.calls_nodes else ())
        if one.state in CALLED and not one.key_refused
    }
    expiry = backend.expiry if backend else None
    return Judge(
        open_link=opener(settings, facts),
        healed=settled,
        patience=HEALED_WITHIN,
        owners=bool(settings.telegram.admins),
        away=frozenset(nodes - called),
        ends_held=expiry is None or bool(expiry.held) or "expiry.enabled" in expiry.off,
    )


def opener(settings: Settings, facts: Facts) -> Callable[[bytes], str] | None:
    """What opens links; None without a key of those that closed them. Makes none."""
    try:
        keys = keys_there(settings.security.keys, settings.data_dir)
    except SettingsError:
        return None
    closed_by = getattr(facts.database, "fingerprint", None)
    if keys is None or closed_by not in {None, *keys.fingerprints()}:
        return None
    return LinkCipher(keys).open


class Tally:
    """What is broken, by rule: a few are named, the rest counted."""

    def __init__(self) -> None:
        self._named: defaultdict[str, list[str]] = defaultdict(list)
        self._counts: defaultdict[str, int] = defaultdict(int)

    def add(self, found: Iterable[Broken]) -> None:
        """Count some more."""
        for one in found:
            self._counts[one.rule] += 1
            if len(self._named[one.rule]) < NAMED:
                told = str(one).removeprefix(f"{one.rule}: ")
                self._named[one.rule].append(told)

    def findings(self, about: str) -> list[Finding]:
        """A line a rule."""
        return [
            failed(
                about,
                f"{count:,} times it is not so that {rule}: {'; '.join(self._named[rule])}",
                "keep the logs; `tollgate why USER` tells what happened",
            )
            for rule, count in self._counts.items()
        ]


async def _row(connection: Connection, node_id: str) -> Row:
    row = await connection.fetchrow("SELECT * FROM nodes WHERE id = $1", node_id)
    return row if row is not None else {"id": node_id, "state": "active"}
