"""Each kind of trouble has its line, and the line says how to mend it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from bot.examination import TelegramStanding
from bot.node_views import BreakerView, ExpiryView
from config.settings import NodeEntry, Settings, TelegramSection
from storage.looking import DatabaseStanding, Owner, Waiting
from supervisors.doctor.deep import MENDS, is_settled, of_backlog
from supervisors.doctor.facts import BackendFacts, Facts, FolderFacts, NodeFacts, Trouble
from supervisors.doctor.findings import State, failed, is_well, line, note, warning
from supervisors.doctor.judging import judge
from xray_api.client.errors import Fault
from xray_api.contract import InboundState, Readiness, ServiceState, UserCounts, XrayState

EPOCH = UUID(int=7)
TOKEN = "1000001:ez2W4NaOKSCDXP67cXxXo1rA-_k9JdPuLFs"
NOW_S = 1_800_000_000.0
HOOK = "https://shop.example.org/telegram/secret-path"

READY = Readiness(
    ready=True,
    reasons=(),
    epoch=EPOCH,
    xray=XrayState(running=True, version="26.10.10", uptime_s=60, restarts=0),
    inbound=InboundState(
        tag="vless",
        port=443,
        network="tcp",
        security="reality",
        flow="xtls-rprx-vision",
        server_name="www.example.org",
        short_id="00",
        public_key="key",
    ),
    users=UserCounts(desired=5, applied=5),
    writer=None,
    allow_private_targets=False,
    service=ServiceState(version=version("tollgate"), uptime_s=60),
)
CALLED = BreakerView(
    node="de-1",
    state="closed",
    next_probe_s=0.0,
    at_a_time=8,
    retry_budget=10.0,
    key_refused=False,
    away_s=None,
)
STANDING = DatabaseStanding(
    version="18.4",
    clock_s=NOW_S,
    pending=[],
    bot_id=1000001,
    fingerprint="abc",
    owner=Owner(seen_s=1.0, since_s=600.0),
    nodes=({"id": "de-1", "state": "active", "reason": "", "epoch": EPOCH},),
    users=(("de-1", 5),),
)
EXPIRY = ExpiryView(ended=0, reminded=0, held="")
TELEGRAM = TelegramStanding(
    bot_id=1000001,
    username="shop_bot",
    webhook_url="",
    waiting=0,
    last_error=None,
    last_error_at=None,
)
BACKEND = BackendFacts(breakers=(CALLED,), expiry=EXPIRY, calls_nodes=True)
WELL = Facts(
    folder=FolderFacts(exists=True, secrets={"data/security.keys": 0o600}),
    database=STANDING,
    backend=BACKEND,
    telegram=TELEGRAM,
    nodes={"de-1": NodeFacts(readiness=READY, clock_ahead_s=0.5)},
    providers={"cryptopay": None},
    door=None,
    host_clock_s=NOW_S,
    fingerprints=("abc",),
)


def settings(**telegram: Any) -> Settings:
    """A shop with one node."""
    return Settings(
        data_dir=Path("data"),
        telegram=TelegramSection(token=SecretStr(TOKEN), **{"admins": (1000,), **telegram}),
        nodes=(
            NodeEntry(
                id="de-1",
                title="Germany",
                url="https://de-1.example.org",
                api_keys=(SecretStr("a key that nobody may read here"),),
            ),
        ),
    )


def webhook() -> Settings:
    """A shop that Telegram calls."""
    return settings(
        mode="webhook", webhook_url=HOOK, webhook_secret=SecretStr("0123456789abcdef0123")
    )


def facts(**changes: Any) -> Facts:
    """All is well, but for this."""
    return replace(WELL, **changes)


def folder(**changes: Any) -> Facts:
    """All is well, but for the folder."""
    return facts(folder=replace(WELL.folder, **changes))


def database(**changes: Any) -> Facts:
    """All is well, but for the database."""
    return facts(database=replace(STANDING, **changes))


def backend(**changes: Any) -> Facts:
    """All is well, but for what the back-end says."""
    return facts(backend=replace(BACKEND, **changes))


def breaker(**changes: Any) -> Facts:
    """All is well, but for the node's breaker."""
    return backend(breakers=(replace(CALLED, **changes),))


def node(ahead_s: float = 0.5, **changes: Any) -> Facts:
    """All is well, but for the node."""
    changed = READY.model_copy(update=changes)
    return facts(nodes={"de-1": NodeFacts(readiness=changed, clock_ahead_s=ahead_s)})


def row(**changes: Any) -> Facts:
    """All is well, but for the node's row."""
    return database(nodes=({**STANDING.nodes[0], **changes},))


def telegram(**changes: Any) -> Facts:
    """All is well, but for Telegram."""
    return facts(telegram=replace(TELEGRAM, **changes))


def away(fault: Fault) -> Facts:
    """The node cannot be used."""
    return facts(nodes={"de-1": Trouble(fault, "ClientConnectorError")})


DOWN = XrayState(running=False, version=None, uptime_s=0, restarts=3)
OLD = ServiceState(version="0.0.1", uptime_s=60)
UNSEEN = Owner(seen_s=None, since_s=None)
LATE = Owner(seen_s=3_600.0, since_s=None)

#: What is wrong, how bad it is, and words of its line and of the way to mend it.
TROUBLES: list[tuple[Facts, State, str, str]] = [
    (folder(exists=False, secrets={}), State.NOTE, "is not there yet", "tollgate run"),
    (folder(writable=False), State.FAILED, "cannot be written", "chown"),
    (folder(mode=0o777), State.FAILED, "others may write", "chmod go-w"),
    (folder(free_bytes=1), State.WARNING, "only 0 MB are free", "make room"),
    (folder(plain_files=("plans_file x: is not UTF-8",)), State.FAILED, "plans_file", "correct"),
    (
        folder(secrets={"data/security.keys": 0o640}),
        State.FAILED,
        "security.keys is open to the group",
        "chmod 600 data/security.keys",
    ),
    (
        folder(secrets={"tollgate.toml": 0o644}),
        State.FAILED,
        "tollgate.toml is open to everybody",
        "chmod 600 tollgate.toml",
    ),
    (facts(database=None), State.NOTE, "there is none yet", "tollgate run"),
    (facts(database=Trouble("setup", "no usable DSN")), State.FAILED, "no usable DSN", "url"),
    (facts(database=Trouble("away", "refused")), State.FAILED, "does not answer: refused", "start"),
    (database(pending=None), State.FAILED, "by a newer Tollgate", "install"),
    (database(pending=["2026_05"]), State.FAILED, "not applied: 2026_05", "tollgate migrate"),
    (database(bot_id=2), State.FAILED, "is bot 2's, telegram.token is bot 1000001's", "url"),
    (database(bot_id=None), State.NOTE, "nobody's yet", "tollgate run"),
    (facts(fingerprints=()), State.FAILED, "none of the master keys", "restore"),
    (facts(backend=None), State.WARNING, "another one owns the database", "look for it"),
    (
        facts(backend=None, database=replace(STANDING, owner=LATE)),
        State.NOTE,
        "does not run",
        "tollgate run",
    ),
    (facts(backend=Trouble("unanswered", "no answer came")), State.FAILED, "no answer", "log"),
    (database(owner=LATE), State.FAILED, "was not seen in the database for 1h", "log"),
    (database(owner=UNSEEN), State.FAILED, "was not seen in the database yet", "log"),
    (backend(calls_nodes=False), State.WARNING, "no node is called", "provisioner.enabled on"),
    (backend(expiry=replace(EXPIRY, held="clocks")), State.WARNING, "ends: clocks", "confirm"),
    (
        backend(expiry=replace(EXPIRY, off=("expiry.enabled",))),
        State.WARNING,
        "expiry.enabled is off",
        "tollgate policy set expiry.enabled on",
    ),
    (facts(door=Trouble("taken", "in use")), State.FAILED, "in use", "http.listen"),
    (facts(door=Trouble("status", "502")), State.FAILED, "does not answer: 502", "log"),
    (facts(telegram=Trouble("token")), State.FAILED, "does not know the token", "@BotFather"),
    (facts(telegram=Trouble("away", "ClientError")), State.FAILED, "ClientError", "network"),
    (facts(telegram=Trouble("no answer", "within 8 s")), State.FAILED, "within 8 s", "network"),
    (telegram(bot_id=5), State.FAILED, "answers as bot 5", "api_base"),
    (telegram(webhook_url=HOOK), State.WARNING, "sends them to shop.example.org", "run sets it"),
    (telegram(waiting=100), State.WARNING, "100 wait", "tollgate tree"),
    (facts(providers={"cryptopay": Trouble("away", "401")}), State.FAILED, "401", "token"),
    (away(Fault.INFRA), State.FAILED, "does not answer", "tollgate node run"),
    (away(Fault.TLS), State.FAILED, "its certificate is refused", "node.tls_cert"),
    (away(Fault.AUTH), State.FAILED, "takes none of our keys", "nodes[].api_keys"),
    (away(Fault.PROTOCOL), State.FAILED, "answers what no node would", "another version"),
    (node(ready=False, reasons=("disk",)), State.FAILED, "is not ready: disk", "log"),
    (node(xray=DOWN, ready=False), State.FAILED, "its Xray does not run", "log"),
    (node(service=OLD), State.WARNING, "runs Tollgate 0.0.1", "the same version"),
    (node(allow_private_targets=True), State.WARNING, "private addresses", "= false"),
    (node(epoch=UUID(int=8)), State.WARNING, "another store", "by itself"),
    (row(state="frozen", reason="a sign"), State.WARNING, "is frozen", "unfreeze de-1"),
    (row(state="draining"), State.NOTE, "is draining", "activate de-1"),
    (breaker(state="open", next_probe_s=4.0), State.WARNING, "its breaker is open", "in 4s"),
    (breaker(key_refused=True), State.FAILED, "took none of the back-end's keys", "api_keys"),
    (node(ahead_s=-61.0), State.FAILED, "node de-1 is 1m 1s behind this machine", "NTP"),
    (database(clock_s=NOW_S + 3_600), State.FAILED, "PostgreSQL is 1h ahead", "NTP"),
]


def test_where_all_is_well_each_part_has_a_line_that_says_so() -> None:
    found = judge(WELL, settings())

    assert {one.state for one in found} == {State.OK}
    assert [one.about for one in found] == [
        "settings",
        "data folder",
        "database",
        "identity",
        "back-end",
        "http",
        "telegram",
        "updates",
        "cryptopay",
        "node de-1",
        "clocks",
    ]


@pytest.mark.parametrize(("found", "state", "text", "mend"), TROUBLES)
def test_a_trouble_has_its_line(found: Facts, state: State, text: str, mend: str) -> None:
    lines = [one for one in judge(found, settings()) if one.state is not State.OK]

    assert any(one.state is state and text in one.text and mend in one.mend for one in lines), lines
    assert is_well(lines) is all(one.state is not State.FAILED for one in lines)


WEBHOOKS: list[tuple[Mapping[str, Any], State, str]] = [
    ({"webhook_url": HOOK}, State.OK, "come to the webhook"),
    ({}, State.WARNING, "Telegram has none"),
    ({"webhook_url": "https://other.example.org/x"}, State.WARNING, "of other.example.org"),
    (
        {"webhook_url": HOOK, "waiting": 3, "last_error": "Connection refused"},
        State.WARNING,
        "3 wait, Telegram could not bring them: Connection refused",
    ),
]


@pytest.mark.parametrize(("changes", "state", "text"), WEBHOOKS)
def test_the_webhook_is_the_one_that_is_set(
    changes: Mapping[str, Any], state: State, text: str
) -> None:
    (found,) = [one for one in judge(telegram(**changes), webhook()) if one.about == "updates"]

    assert found.state is state
    assert text in found.text


def test_owners_should_be_there() -> None:
    (found,) = [one for one in judge(WELL, settings(admins=())) if one.state is State.WARNING]
    assert "nobody is told" in found.text


def test_no_line_tells_a_secret() -> None:
    secrets = (TOKEN, "a key that nobody may read here", "0123456789abcdef0123", "secret-path")

    for found in [telegram(webhook_url=HOOK), *(trouble for trouble, *_ in TROUBLES)]:
        for shop in (settings(), webhook()):
            told = "\n".join(map(line, judge(found, shop)))
            assert not [secret for secret in secrets if secret in told]


def test_a_finding_obeys_nobody_and_shows_no_shape_of_a_secret() -> None:
    bad = f"\x1b[2J {TOKEN} vless://a@b"
    found = failed(bad, bad, bad)

    for told in (line(found), *map(str, asdict(found).values())):
        assert "\x1b" not in told
        assert TOKEN not in told
        assert "vless://" not in told


def test_only_what_failed_fails_the_command() -> None:
    assert is_well([note("a", "b"), warning("a", "b", "c")])
    assert not is_well([failed("a", "b", "c")])


def test_what_waits_has_a_way_to_be_mended() -> None:
    since = datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)
    waiting = [Waiting(what=what, many=1_234, since=since) for what in MENDS]

    found = of_backlog(waiting)

    assert [one.text for one in found] == [
        f"1,234 {what}, since 2026-11-30 01:02:03 UTC" for what in MENDS
    ]
    assert all(one.mend and one.state is State.WARNING for one in found)
    assert [one.state for one in of_backlog([])] == [State.OK]


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        (WELL, True),
        (facts(backend=None), False),
        (facts(database=None), False),
        (database(owner=Owner(seen_s=1.0, since_s=5.0)), False),
        (database(owner=Owner(seen_s=3_600.0, since_s=7_200.0)), False),
        (database(owner=None), False),
    ],
)
def test_what_takes_seconds_is_asked_of_a_back_end_that_has_worked(
    found: Facts, settled: bool
) -> None:
    assert is_settled(found) is settled
