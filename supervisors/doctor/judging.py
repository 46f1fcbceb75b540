"""Pure: facts become lines, in an order in which one would mend them."""

from collections.abc import Iterator
from importlib.metadata import version
from urllib.parse import urlsplit

from actors.provisioner.breaker import BreakerState, Hold
from bot.examination import TelegramStanding
from config.settings import NodeEntry, Settings, TelegramSection
from storage.invariants.rules import Row
from storage.looking import DatabaseStanding, Owner
from supervisors.console.words import span
from supervisors.doctor.facts import BackendFacts, Facts, FolderFacts, NodeFacts, Trouble
from supervisors.doctor.findings import Finding, failed, note, ok, warning
from xray_api.client.errors import Fault

#: Clocks may differ by so much, seconds; expiry holds above it.
CLOCKS_WITHIN_S = 60.0
#: The owner shows every two seconds that it lives.
SEEN_WITHIN_S = 15.0
LEAST_FREE_BYTES = 500 * 1024 * 1024
#: Updates that wait at Telegram are taken within a second.
MANY_WAITING = 100

#: What each kind of failed call to a node says of it, and what to do.
WORDS: dict[str, str] = {
    Fault.INFRA: "does not answer",
    Fault.TLS: "its certificate is refused",
    Fault.AUTH: "takes none of our keys",
    Fault.THROTTLE: "has too much to do",
    Fault.PROTOCOL: "answers what no node would",
}
NODE_MENDS: dict[str, str] = {
    Fault.INFRA: "start it (tollgate node run), and look at nodes[].url and what is in between",
    Fault.TLS: "renew the certificate of its API, or of the proxy in front (node.tls_cert)",
    Fault.AUTH: "put one of node.api_keys into nodes[].api_keys; `node init` showed it",
    Fault.THROTTLE: "it is busy: ask again in a minute",
    Fault.PROTOCOL: "something else answers at nodes[].url, or it is of another version",
}
CALLED = {BreakerState.CLOSED.value, Hold.CLOSED.value}


def judge(facts: Facts, settings: Settings) -> list[Finding]:
    """All lines."""
    return [
        ok("settings", f"{len(settings.nodes)} nodes, {len(settings.telegram.admins)} owners"),
        *of_owners(settings.telegram),
        *of_folder(facts.folder, settings),
        *of_keys(facts.keys),
        *of_database(facts, settings),
        *of_backend(facts),
        *of_door(facts, settings),
        *of_telegram(facts.telegram, settings.telegram),
        *(one for name, trouble in facts.providers.items() for one in of_provider(name, trouble)),
        *(one for node in settings.nodes for one in of_node(node, facts)),
        *of_clocks(facts),
    ]


def of_owners(telegram: TelegramSection) -> Iterator[Finding]:
    """Somebody hears of what goes wrong."""
    if not telegram.admins:
        yield warning("settings", "nobody is told of alerts", "put your id into telegram.admins")


def of_folder(folder: FolderFacts, settings: Settings) -> Iterator[Finding]:
    """The data folder, and files with secrets."""
    path = settings.data_dir.absolute()
    for problem in folder.plain_files:
        yield failed("settings", problem, "correct that file")
    for file, mode in folder.secrets.items():
        open_to = "everybody" if mode & 0o007 else "the group" if mode & 0o070 else ""
        if open_to and (mode & 0o007 or file.endswith("security.keys")):
            yield failed("secrets", f"{file} is open to {open_to}", f"chmod 600 {file}")
    if not folder.exists:
        yield note("data folder", f"{path} is not there yet", "tollgate run makes it")
    elif folder.closed:
        yield failed("data folder", folder.closed, "run doctor as the owner of that folder")
    elif not folder.writable:
        yield failed("data folder", f"{path} cannot be written", "run as its owner, or chown it")
    elif folder.mode & 0o022:
        yield failed("data folder", f"others may write to {path}", f"chmod go-w {path}")
    elif folder.free_bytes < LEAST_FREE_BYTES:
        free = folder.free_bytes // (1024 * 1024)
        yield warning("data folder", f"only {free} MB are free in {path}", "make room")
    else:
        yield ok("data folder", str(path))


def of_keys(trouble: Trouble | None) -> Iterator[Finding]:
    """The file of the master keys, where there is one."""
    if trouble is not None:
        mend = "restore it from a backup, or run doctor as its owner"
        yield failed("secrets", trouble.text, mend)


def of_database(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """PostgreSQL, the schema, and whose it is."""
    match facts.database:
        case None:
            yield note("database", "there is none yet", "tollgate run makes it in data_dir")
        case Trouble(kind="setup", text=text):
            yield failed("database", text, "correct database.url, or what it says")
        case Trouble(kind="closed", text=text):
            yield failed("database", text, "run doctor as the owner of that folder")
        case Trouble(kind="stopped", text=text):
            told = "the embedded one does not run" + (f": {text}" if text else "")
            bad = warning if facts.backend is None else failed
            yield bad("database", f"{told}; nothing in it was looked at", "start it: tollgate run")
        case Trouble(text=text, kind=kind):
            mend = "start PostgreSQL, and look at database.url and what is in between"
            yield failed("database", f"does not answer: {text or kind}", mend)
        case DatabaseStanding(pending=None):
            yield failed(
                "migrations", "the schema was made by a newer Tollgate", "install that version"
            )
        case DatabaseStanding(pending=[*pending]) if pending:
            yield failed("migrations", f"not applied: {', '.join(pending)}", "tollgate migrate")
        case DatabaseStanding() as standing:
            yield ok("database", f"PostgreSQL {standing.version}, the schema is current")
            yield _of_identity(standing, facts, settings)


def _of_identity(standing: DatabaseStanding, facts: Facts, settings: Settings) -> Finding:
    bot_id = settings.telegram.bot_id
    if standing.bot_id is None:
        return note("identity", "nobody's yet", "tollgate run makes it this bot's")
    if standing.bot_id != bot_id:
        return failed(
            "identity",
            f"the database is bot {standing.bot_id}'s, telegram.token is bot {bot_id}'s",
            "choose another database.url, or the other token",
        )
    if standing.fingerprint not in {None, *facts.fingerprints}:
        return failed(
            "identity",
            "none of the master keys closed what the database holds",
            "restore the file security.keys of its data_dir, or put the key into security.keys",
        )
    return ok("identity", f"the database is bot {bot_id}'s, and its keys are here")


def is_alive(owner: Owner | None) -> bool:
    """Whether it showed that it lives."""
    return owner is not None and owner.seen_s is not None and owner.seen_s < SEEN_WITHIN_S


def of_backend(facts: Facts) -> Iterator[Finding]:
    """Whether somebody works, and owns the database."""
    standing = facts.database
    owner = standing.owner if isinstance(standing, DatabaseStanding) else None
    seen_s = owner.seen_s if owner else None
    alive = is_alive(owner)
    match facts.backend:
        case Trouble(text=text):
            mend = "look at its log, or restart it"
            yield failed("back-end", f"its control socket does not help: {text}", mend)
        case BackendFacts() if alive or not isinstance(standing, DatabaseStanding):
            yield ok("back-end", "runs, and owns the database" if alive else "runs")
        case BackendFacts():
            ago = f"for {span(seen_s)}" if seen_s is not None else "yet"
            yield failed(
                "back-end",
                f"runs, and was not seen in the database {ago}",
                "look at its log: it may have lost the database, or have another database.url",
            )
        case None if alive:
            yield warning(
                "back-end",
                "another one owns the database, and not from this data_dir",
                "look for it; a second one that starts takes the database over",
            )
        case None:
            yield note("back-end", "does not run", "start it: tollgate run")
    if isinstance(facts.backend, BackendFacts):
        yield from _of_switches(facts.backend)


def _of_switches(backend: BackendFacts) -> Iterator[Finding]:
    if not backend.calls_nodes:
        mend = "on again: tollgate policy set provisioner.enabled on"
        yield warning("back-end", "no node is called: provisioner.enabled is off", mend)
    if backend.expiry.held:
        yield warning(
            "back-end",
            f"nobody's access ends: {backend.expiry.held}",
            "look at the clocks; if it is that late: tollgate expiry confirm",
        )
    for name in backend.expiry.off:
        yield warning("back-end", f"{name} is off", f"on again: tollgate policy set {name} on")


def of_door(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """The address at which webhooks come in."""
    listen = settings.http.listen
    match facts.door:
        case None:
            yield ok("http", f"{listen} {'answers' if facts.backend else 'is free'}")
        case Trouble(kind="taken", text=text):
            yield failed("http", f"{listen}: {text}", "end whoever has it, or change http.listen")
        case Trouble(kind=kind, text=text):
            mend = "look at the log of the back-end: tollgate tree"
            yield failed("http", f"{listen} does not answer: {text or kind}", mend)


def of_telegram(found: TelegramStanding | Trouble, telegram: TelegramSection) -> Iterator[Finding]:
    """The account, and how updates come."""
    match found:
        case Trouble(kind="token"):
            yield failed("telegram", "does not know the token", "ask @BotFather for the token")
        case Trouble(kind=kind, text=text):
            yield failed(
                "telegram",
                f"does not answer: {text or kind}",
                "look at the network, and at telegram.api_base",
            )
        case TelegramStanding(bot_id=bot_id) if bot_id != telegram.bot_id:
            yield failed("telegram", f"answers as bot {bot_id}", "look at telegram.api_base")
        case TelegramStanding():
            yield ok("telegram", f"@{found.username} answers")
            yield from _of_updates(found, telegram)


def _of_updates(found: TelegramStanding, telegram: TelegramSection) -> Iterator[Finding]:
    """The address of the webhook may be a secret: only its host is told."""
    host = urlsplit(found.webhook_url).hostname
    again = "tollgate run sets it at its start"
    if telegram.mode == "polling":
        if found.webhook_url:
            yield warning("updates", f"are polled for, and Telegram sends them to {host}", again)
        else:
            yield ok("updates", f"are polled for; {found.waiting} wait")
    elif not found.webhook_url:
        yield warning("updates", "should come to the webhook, and Telegram has none", again)
    elif found.webhook_url != telegram.webhook_url:
        yield warning("updates", f"Telegram sends them to another address, of {host}", again)
    elif found.last_error is not None and found.waiting:
        yield warning(
            "updates",
            f"{found.waiting} wait, Telegram could not bring them: {found.last_error}",
            "look at the proxy and certificate in front of http.listen",
        )
    else:
        yield ok("updates", f"come to the webhook; {found.waiting} wait")
    if found.waiting >= MANY_WAITING and found.last_error is None:
        yield warning("updates", f"{found.waiting} wait", "look at the back-end: tollgate tree")


def of_provider(name: str, trouble: Trouble | None) -> Iterator[Finding]:
    """A way to pay that can be asked."""
    if trouble is None:
        yield ok(name, "answers")
    else:
        mend = f"look at payments.{name}.token and .network"
        yield failed(name, f"does not help: {trouble.text or trouble.kind}", mend)


def of_node(node: NodeEntry, facts: Facts) -> Iterator[Finding]:
    """A node: what it says, what the database and the back-end think of it."""
    about = f"node {node.id}"
    match facts.nodes[node.id]:
        case Trouble(kind=kind, text=text):
            told = f"{WORDS.get(kind, kind)}{f' ({text})' if text else ''}"
            yield failed(about, told, NODE_MENDS.get(kind, "look at its log"))
        case NodeFacts() as found:
            yield from _of_readiness(about, found, node, facts)
    yield from _of_its_row(about, node, facts)
    yield from _of_its_breaker(about, node, facts)


def _of_readiness(about: str, found: NodeFacts, node: NodeEntry, facts: Facts) -> Iterator[Finding]:
    readiness = found.readiness
    ours = version("tollgate")
    if not readiness.xray.running:
        why = "; ".join(readiness.reasons) or "no reason told"
        yield failed(about, f"its Xray does not run: {why}", "look at the log of the node")
    elif not readiness.ready:
        why = "; ".join(readiness.reasons)
        yield failed(about, f"is not ready: {why}", "do what it says; see the log of the node")
    else:
        xray = readiness.xray.version or "of unknown version"
        told = f"Xray {xray}, {readiness.users.applied} users, key accepted"
        yield ok(about, told + (", TLS" if node.url.startswith("https") else ""))
    if readiness.service.version != ours:
        yield warning(
            about,
            f"runs Tollgate {readiness.service.version}, this is {ours}",
            "install the same version on both",
        )
    if readiness.allow_private_targets:
        yield warning(
            about,
            "lets its users reach private addresses",
            "outside of tests: node.allow_private_targets = false",
        )
    yield from _of_epoch(about, found, node, facts)


def is_rebuilt(found: NodeFacts, node: NodeEntry, facts: Facts) -> bool:
    """Whether the node has another store than the database knows."""
    row = _row(node, facts)
    return row is not None and row["epoch"] not in {None, found.readiness.epoch}


def _of_epoch(about: str, found: NodeFacts, node: NodeEntry, facts: Facts) -> Iterator[Finding]:
    if is_rebuilt(found, node, facts):
        yield warning(
            about,
            "has another store than the database knows: it was wiped or rebuilt",
            "a running back-end fills it again by itself",
        )


def _of_its_row(about: str, node: NodeEntry, facts: Facts) -> Iterator[Finding]:
    row = _row(node, facts)
    if row is None:
        return
    match row["state"]:
        case "frozen":
            yield warning(
                about,
                f"is frozen, nobody is removed from it: {row['reason']}",
                f"look, then: tollgate nodes unfreeze {node.id} (or adopt, confirm)",
            )
        case "draining" | "lost" | "removed" as state:
            yield note(about, f"is {state}", f"used again by: tollgate nodes activate {node.id}")


def _of_its_breaker(about: str, node: NodeEntry, facts: Facts) -> Iterator[Finding]:
    if not isinstance(facts.backend, BackendFacts):
        return
    for breaker in facts.backend.breakers:
        if breaker.node != node.id:
            continue
        if breaker.key_refused:
            yield failed(about, "took none of the back-end's keys", NODE_MENDS[Fault.AUTH])
        if breaker.state not in CALLED:
            yield warning(
                about,
                f"is not called by the back-end: its breaker is {breaker.state}",
                f"it is asked again in {span(breaker.next_probe_s)}; see: tollgate breaker",
            )


def of_clocks(facts: Facts) -> Iterator[Finding]:
    """Who is asked what time it is differs by less than a minute."""
    ahead = {
        f"node {node_id}": found.clock_ahead_s
        for node_id, found in facts.nodes.items()
        if isinstance(found, NodeFacts) and found.clock_ahead_s is not None
    }
    if isinstance(facts.database, DatabaseStanding):
        ahead["PostgreSQL"] = facts.database.clock_s - facts.host_clock_s
    wrong = {name: by for name, by in ahead.items() if abs(by) > CLOCKS_WITHIN_S}
    for name, by in wrong.items():
        yield failed(
            "clocks",
            f"{name} is {span(abs(by))} {'ahead of' if by > 0 else 'behind'} this machine",
            "set the clocks by NTP: access is sold by them",
        )
    if not wrong and ahead:
        yield ok("clocks", f"{', '.join(ahead)} and this machine agree")


def _row(node: NodeEntry, facts: Facts) -> Row | None:
    if not isinstance(facts.database, DatabaseStanding):
        return None
    return next((row for row in facts.database.nodes if row["id"] == node.id), None)
