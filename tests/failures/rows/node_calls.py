"""Calls to a node that fail: by time, by status, by what the answer says, by certificate or key."""

import asyncio
import os
import re
import signal
from collections import Counter

from tests.failures.cells import JITTER, NOT_APPLICABLE, OPEN, WITHIN, Envelope
from tests.failures.run import Run, fired
from tests.failures.scenario import Setting, row
from tests.faults.convergence import FIRST, HAPPENED
from tests.faults.proxy import (
    DelayAfter,
    DelayBefore,
    DropRequest,
    Mangle,
    Rule,
    Status,
    WrongCertificate,
    cut_short,
    html,
    of_another_user,
    too_long,
    without,
)
from tests.integration.node_fixtures import eventually
from xray_api.node.keys import new_api_key

CHANGES = ("PUT", "DELETE", "POST")
#: A buyer is told within so long that access is on its way, by people's time, seconds.
TOLD_S = 10.0
ON_ITS_WAY = re.compile("Activating your access|comes here by itself")
#: How often row 7 has a removal fail.
DROPPED = 20
#: What row 36 asks to wait, by PostgreSQL's time, seconds.
RETRY_AFTER_S = 2
#: Longer than the policies call slow, seconds.
SLOW_S = 3.0

LINKED = """
SELECT count(*) FROM credentials WHERE node_id = $1 AND created_at > $2
    AND (link_enc IS NOT NULL OR first_applied_at IS NOT NULL)
"""
#: How long wishes wait that a certificate stopped, seconds.
PUT_OFF = """
SELECT extract(epoch FROM next_at - now())::float8 AS s FROM credentials
WHERE node_id = $1 AND last_class = 'tls' AND applied_gen < gen AND attempts > 0
"""
SLOW = """
SELECT bool_or(reason LIKE '%calls were slow') FROM supervision_events
WHERE kind = 'breaker_changed' AND actor = 'provisioner/' || $1 AND details->>'after' = 'open'
"""
SET_ASIDE = "SELECT count(*) FROM credentials WHERE quarantined_at IS NOT NULL"


@row(1, bound_s=90, cb=OPEN, bo=JITTER)
async def vpn_api_timeout(run: Run) -> None:
    """Some answers are held after the node has done it, all other requests before it hears of them.

    A buyer is told meanwhile that access is on its way.
    """
    proxy = run.first.proxy
    async with run.fault():
        rules = [
            proxy.add(Rule(DelayAfter(run.held_s), methods=("PUT", "POST"), times=2)),
            proxy.add(Rule(DelayBefore(run.held_s))),
        ]
        await _is_told(run)
        await run.breaker_opened(times=2)
        await run.served_meanwhile()
        for rule in rules:
            proxy.lift(rule)


async def _is_told(run: Run) -> None:
    loop = asyncio.get_running_loop()
    buyer = await run.town.newcomer()
    bought = loop.time()
    await run.town.buy(buyer, FIRST)

    async def told() -> bool:
        return any(ON_ITS_WAY.search(message.text) for message in buyer.messages)

    await eventually(told)
    assert loop.time() - bought <= TOLD_S
    assert buyer.link is None, "nobody had an answer of the node"


@row(2, bound_s=90, cb=OPEN, bo=JITTER, quick=True)
async def vpn_api_500(run: Run) -> None:
    """The node, or what is before it, answers 500 to everything."""
    async with run.fault(Rule(Status(500))):
        await run.breaker_opened(times=2)
        await run.served_meanwhile()


@row(3, bound_s=90, cb=OPEN, bo=JITTER)
async def malformed_json(run: Run) -> None:
    """The node does it, and the answer is cut short, without an end, or a web page."""
    proxy = run.first.proxy
    before = len(proxy.requests)
    damaged = [
        Rule(Mangle(cut_short), methods=CHANGES, times=2),
        Rule(Mangle(too_long), methods=CHANGES, times=2),
    ]
    async with run.fault(*damaged):
        for rule in damaged:
            await fired(rule, rule.times)
        page = proxy.add(Rule(Mangle(html)))
        await run.breaker_opened(times=3)
        await run.served_meanwhile()
        proxy.lift(page)

    async def repeated() -> None:
        wishes = Counter(wish for seen in proxy.requests[before:] for wish in seen.wishes)
        assert max(wishes.values()) > 1, "the very same wish was to be repeated"

    run.closing.append(repeated)


@row(4, bound_s=90, cb=OPEN, bo=JITTER)
async def uuid_without_vless_link(run: Run) -> None:
    """Three answers have no link, the others are about somebody else, of which owners hear."""
    proxy = run.first.proxy
    async with run.fault(
        Rule(Mangle(without("vless_link")), methods=("PUT",), path="/v1/users/", times=3),
        Rule(Mangle(of_another_user), methods=("PUT", "POST")),
    ):
        await run.happened("node_answers_wrong")
        await run.owner_reads(FIRST, "answered for another user")
        await run.breaker_opened()
        await run.served_meanwhile()
        links = await run.town.value(LINKED, FIRST, run.began)
        assert links <= 1, "at most the one that was under way when it began"
        assert any(seen.method == "PUT" for seen in proxy.requests)


@row(7, full=True, bound_s=90, cb=OPEN, bo=JITTER, ua=WITHIN, dx=NOT_APPLICABLE)
async def removal_fails(run: Run) -> None:
    """Removals of many people are lost on the way, twenty times; who asks is told so meanwhile."""
    people = (await run.customers(30))[:DROPPED]
    rule = Rule(DropRequest(), methods=("DELETE",), times=DROPPED)
    async with run.fault(rule):
        await asyncio.gather(*(run.town.revoke(person) for person in people))
        await run.breaker_opened()
        story = await run.town.command("why", str(people[-1].id))
        assert f"is to be shut out on {FIRST}" in story
        assert f"is shut out on {FIRST}" not in story
        await run.served_meanwhile()
        await fired(rule, DROPPED)


@row(10, bound_s=90, cb=OPEN, bo=JITTER, setting=Setting(tls=True))
async def cloudflare_526(run: Run) -> None:
    """What is before the node refuses its certificate, then shows a wrong one itself."""
    proxy = run.first.proxy
    async with run.fault():
        edge = proxy.add(Rule(Status(526)))
        began = asyncio.get_running_loop().time()
        await run.breaker_opened()
        waits = [found["s"] for found in await run.town.sql(PUT_OFF, FIRST)]
        passed = asyncio.get_running_loop().time() - began
        assert waits, "somebody was to wait for the certificate"
        assert min(waits) >= 30 - passed, waits
        assert max(waits) <= 60, waits
        await run.breaker_opened(times=3)
        proxy.lift(edge)
        wrong = proxy.add(Rule(WrongCertificate()))
        await run.breaker_opened(times=4)
        await run.happened("node_certificate")
        await run.owner_reads("certificate", FIRST, "is refused")
        await run.served_meanwhile()
        proxy.lift(wrong)


@row(35, bound_s=90)
async def key_rotated_or_wrong(run: Run) -> None:
    """The node changes to our second key, then to one that we do not have, then back."""
    site, settings = run.first, run.first.files.settings_file
    before = settings.read_text()

    def takes(key: str) -> None:
        settings.write_text(re.sub(r"api_keys = .*", f'api_keys = ["{key}"]', before))
        os.kill(site.machine.pid, signal.SIGHUP)

    async def refuses() -> bool:
        return await site.listed() is None

    async def listens() -> bool:
        return await site.listed() is not None

    async with run.fault():
        takes(site.spare_key)
        await eventually(refuses)  # this client has the first key only
        changed = await run.town.value("SELECT now()")
        await run.served_meanwhile(FIRST, since=changed)
        assert await run.town.value(HAPPENED, "node_key_refused", FIRST) == 0, "the other key"
        run.met()

        takes(new_api_key())
        await run.happened("node_key_refused")
        await run.owner_reads(FIRST, "takes none of our keys")
        await run.served_meanwhile()
        run.met()
        assert await run.town.value(SET_ASIDE) == 0

        settings.write_text(before)
        os.kill(site.machine.pid, signal.SIGHUP)
        await eventually(listens)


@row(
    36,
    bound_s=90,
    bo=JITTER,
    envelope=Envelope(shortest_s=RETRY_AFTER_S * 10.0, longest_s=150.0),
)
async def throttled(run: Run) -> None:
    """The node is too busy, and says when to come again; nobody comes before."""
    rule = Rule(Status(429, {"Retry-After": str(RETRY_AFTER_S)}), methods=CHANGES)
    async with run.fault(rule):

        async def again() -> bool:
            wishes = Counter(wish for seen in rule.met for wish in seen.wishes)
            return max(wishes.values(), default=0) > 1

        await eventually(again)
        await run.served_meanwhile()


@row(37, full=True, bound_s=90, cb=OPEN, setting=Setting(factor=1))
async def slow_node(run: Run) -> None:
    """Every change takes three seconds, and none fails.

    By true times: what real processes take would be slow too, were the limit a tenth.
    """
    await run.customers(30)  # so that the node is called as often at a time as it may be
    async with run.fault(Rule(DelayAfter(SLOW_S), methods=CHANGES)):
        await run.breaker_opened()
        await run.town.until(SLOW, FIRST)
        await run.served_meanwhile()
