"""What must be true of the simulated world: after each commit, and once all faults are over."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from actors.notifier.ports import LinkReady, Notice, Progress, PurchaseProgress
from actors.user.messages import (
    CreditPayment,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
)
from config.keys import MasterKeys
from storage.invariants.judging import Judge, broken_in, broken_lives
from storage.invariants.nodes import NOT_COMPARED, NodeCase, broken_on
from storage.invariants.rules import Broken, told_of
from storage.links import LinkCipher
from tests.simulation.backend import Company, settings
from tests.simulation.faults import Trouble
from tests.simulation.nodes import Site
from tests.simulation.people import named

Row = dict[str, Any]

#: Tables of access and money: a commit that changed one of them is looked at.
WATCHED = frozenset({"subscriptions", "credentials", "ledger", "payments", "purchases"})
#: News that says that money counts.
CREDITED = (Progress.ACTIVATING, Progress.DELAYED, Progress.READY, Progress.EXTENDED)
CIPHER = LinkCipher(MasterKeys(settings().security.keys))
#: A user's actor works for milliseconds, unless something was wrong within so many seconds.
PATIENCE_S, QUIET_S = 5.0, 60.0
#: So many users without a right may go from a node within a day before an owner says so.
GUARD = 20


class Watch:
    """Looks at every commit, every call and every notice."""

    def __init__(self, company: Company, trouble: Trouble) -> None:
        self.company = company
        self.trouble = trouble
        self.world = company.world
        self.tables = company.storage.tables
        self.begun: Counter[tuple[UUID, int]] = Counter()
        self._seen: dict[UUID, tuple[int, int]] = {}
        self._links: dict[bytes, str] = {}
        self._gone: dict[str, dict[UUID, float]] = defaultdict(dict)
        #: Updates that were committed; what is done is forgotten after some days.
        self._accepted: set[tuple[str, str]] = set()
        company.storage.committed = self.committed
        company.outside.telegram.confirmed = self.confirmed
        company.outside.telegram.noticed = self.noticed
        company.outside.answered = self.answered
        company.outside.unanswered = self.unanswered
        for site in company.sites.values():
            site.let_in = self.let_in
            site.asked = self.asked

    def committed(self, touched: set[tuple[str, Any]]) -> None:
        """Something was committed: whoever it is about is judged."""
        names = {name for name, _ in touched}
        if "inbox" in names:
            self._accepted.update(self.tables.inbox.rows)
        if "credentials" in names:
            self._count_attempts()
            self._shut_out()
        users = {self._user_of(name, key) for name, key in touched if name in WATCHED}
        for user_id in sorted(user for user in users if user is not None):
            self._judge(user_id)

    def judge_all(self) -> None:
        """Once all has healed: every rule, those that hold eventually too."""
        now = self.world.database_now()
        rows = {name: list(table.rows.values()) for name, table in self.tables.of.items()}
        broken: list[Broken] = broken_in(rows, now, Judge(open_link=self._open, owners=True))
        for node_id, site in self.company.sites.items():
            node = self.tables.nodes.rows[node_id]
            if node["state"] in NOT_COMPARED:
                continue
            case = NodeCase(
                node=node,
                listed=[(uuid, site.node._gen(uuid)) for uuid in site.node.running],
                rows=self.tables.credentials.rows,
            )
            broken += broken_on(case)
        if broken:
            self.world.require(False, broken[0].rule, "; ".join(map(str, broken)))

    def _judge(self, user_id: int) -> None:
        tables = self.tables
        subscription = tables.subscriptions.holder("subscriptions_one_a_user", user_id)
        key = subscription["id"] if subscription else None
        rows: dict[str, list[Row]] = {"users": [tables.users.rows[user_id]]}
        if subscription:
            rows["subscriptions"] = [subscription]
        for name in ("purchases", "payments", "outbox"):
            rows[name] = [r for r in tables.of[name].rows.values() if r["user_id"] == user_id]
        for name in ("credentials", "ledger"):
            rows[name] = [r for r in tables.of[name].rows.values() if r["subscription_id"] == key]
        rows["admin_actions"] = list(tables.admin_actions.rows.values())
        rows["nodes"] = list(tables.nodes.rows.values())
        sources = Counter((row["source_kind"], row["source_id"]) for row in rows["ledger"])
        twice = [source for source, times in sources.items() if times > 1]
        self.world.require(not twice, "each source of time is written once", twice)
        judge = Judge(open_link=self._open, healed=False)
        alerts = told_of(tables.outbox.rows.values())
        scene = judge.scene(rows, self.world.database_now(), alerts)
        for found in broken_lives(rows, scene, judge):
            self.world.require(False, found.rule, found)

    def _user_of(self, table: str, key: Any) -> int | None:
        row = self.tables.of[table].rows.get(key)
        if row is None:
            return None
        if "subscription_id" in row:
            row = self.tables.subscriptions.rows[row["subscription_id"]]
        user_id: int = row["user_id"]
        return user_id

    def _open(self, link_enc: bytes) -> str:
        if link_enc not in self._links:
            self._links[link_enc] = CIPHER.open(link_enc)
        return self._links[link_enc]

    def confirmed(self, updates: Sequence[Row]) -> None:
        """The back-end told a sender that it has taken these: then they are committed."""
        for update in updates:
            source = update.get("source", "telegram:123456")
            self.world.require(
                (source, str(update["update_id"])) in self._accepted,
                "what is acknowledged is committed",
                update,
            )

    def answered(self, message: Any, outcome: Any) -> None:
        """A user's actor has answered: what it says is committed."""
        match outcome:
            case PaymentCredited() | PaymentHeld() | PaymentAlreadyRecorded() if isinstance(
                message, CreditPayment
            ):
                key = message.provider, message.provider_payment_id
                row = self.tables.payments.rows.get(key)
                undecided = isinstance(outcome, PaymentAlreadyRecorded)
                self.world.require(
                    row is not None and (undecided or row["disposition"] != "received"),
                    "nobody hears of a credit that is not committed",
                    (outcome, row and shown(row)),
                )
            case _:
                pass

    def unanswered(self, began_s: float, message: Any, refusal: Exception) -> None:
        """A user's actor did not answer: then something was wrong."""
        waited_s = self.world.loop.time() - began_s
        storage = self.company.storage
        trouble = storage.away or self.trouble.last_s > began_s - QUIET_S
        self.world.require(
            waited_s < PATIENCE_S or trouble,
            "who asks a user's actor is answered",
            f"{message} after {waited_s:.1f} s: {refusal}",
        )

    def noticed(self, notice: Notice) -> None:
        """A person is about to read something."""
        match notice:
            case PurchaseProgress() if notice.progress in CREDITED:
                paid = {"paid", "refund_pending", "refunded"}
                fine = any(
                    row["user_id"] == notice.chat_id and row["status"] in paid
                    for row in self.tables.purchases.rows.values()
                )
                self.world.require(fine, "nobody hears of a credit that is not committed", notice)
            case LinkReady():
                uuid = UUID(notice.link.removeprefix("vless://").partition("@")[0])
                row = self.tables.credentials.rows.get(uuid)
                owner = row and self.tables.subscriptions.rows[row["subscription_id"]]["user_id"]
                self.world.require(
                    owner == notice.chat_id, "I16 a link is of its reader's own key", notice
                )
            case _:
                pass

    def asked(self, site: Site, wishes: Iterable[tuple[UUID, int, bool]]) -> None:
        """The back-end calls a node."""
        for uuid, gen, present in wishes:
            row = self.tables.credentials.rows.get(uuid)
            if row is None and not present:
                self._without_right(site, uuid)
                continue
            self.world.require(
                row is not None and row["gen"] >= gen,
                "I1 a wish is committed before a node hears of it",
                (named(uuid), gen, row),
            )
            site.sent[uuid, gen] += 1
            self.world.require(
                site.sent[uuid, gen] <= self.begun[uuid, gen],
                "a call is counted before it is made, and made once for each time it is counted",
                (named(uuid), gen, site.sent[uuid, gen], self.begun[uuid, gen]),
            )

    def _without_right(self, site: Site, uuid: UUID) -> None:
        """A user whom nobody knows goes: a few a day, more if the owner says so."""
        if site.confirmed:
            return
        now = self.world.loop.time()
        gone = self._gone[site.node_id]
        gone[uuid] = now
        today = [one for one, at_s in gone.items() if at_s > now - 86_400]
        self.world.require(
            len(today) <= GUARD, "I15 no more are removed than the guard allows", len(today)
        )

    def let_in(self, site: Site, uuids: Iterable[UUID]) -> None:
        """A node lets somebody in newly."""
        for uuid in sorted(uuids):
            self._must_be_in(site, uuid)

    def _count_attempts(self) -> None:
        for uuid, row in self.tables.credentials.rows.items():
            now = row["gen"], row["attempts"]
            before = self._seen.get(uuid, (0, 0))
            if now != before:
                more = now[1] - (before[1] if before[0] == now[0] else 0)
                self.begun[uuid, now[0]] += max(0, more)
                self._seen[uuid] = now
                self.world.require(now[0] >= before[0], "I10 a generation never falls", row)

    def _shut_out(self) -> None:
        for site in self.company.sites.values():
            site.was_tainted |= bool(site.tainted)
            site.tainted &= site.node.running
            for uuid in site.node.running:
                self._must_be_in(site, uuid)

    def _must_be_in(self, site: Site, uuid: UUID) -> None:
        if uuid in site.tainted:
            return
        row = self.tables.credentials.rows.get(uuid)
        self.world.require(row is not None, "I1 every user of a node has a row", named(uuid))
        assert row is not None
        gone = row["desired"] == "absent" and row["applied_gen"] == row["gen"]
        self.world.require(
            not gone,
            "I2 nobody is let in whose removal was confirmed",
            f"{named(uuid)} on {site.node_id}: {shown(row)}",
        )


def unfinished(company: Company) -> list[str]:
    """What does not hold yet, once all faults are over; nothing when all has healed."""
    tables, world = company.storage.tables, company.world
    now = world.database_now()
    found: list[str] = []
    if company.life.backend is None or company.life.status is not None:
        return ["the back-end does not run"]
    if company.outside.telegram.updates:
        found.append(f"{len(company.outside.telegram.updates)} updates are not taken")
    found += [
        f"update {row['source_id']} is not done: {shown(row)}"
        for row in tables.inbox.rows.values()
        if row["done_at"] is None
    ]
    found += _of_nodes(company)
    found += _of_money(company)
    for row in tables.outbox.rows.values():
        person = tables.users.rows.get(row["user_id"])
        old = row["kind"] == "alert" and row["created_at"] < now - timedelta(days=1)
        if row["state"] == "due" and not old and (person is None or person["reachable"]):
            found.append(f"not told: {shown(row)}")
    for row in tables.subscriptions.rows.values():
        if row["status"] == "activating":
            found.append(f"still activating: {shown(row)}")
        if row["status"] == "active" and row["expires_at"] < now - timedelta(seconds=10):
            found.append(f"over and not ended: {shown(row)}")
    return found


def _of_nodes(company: Company) -> list[str]:
    tables = company.storage.tables
    found = []
    wanted: dict[str, dict[UUID, int]] = defaultdict(dict)
    for row in tables.credentials.rows.values():
        state = tables.nodes.rows[row["node_id"]]["state"]
        if state in NOT_COMPARED:
            continue
        if row["applied_gen"] < row["gen"]:
            found.append(f"a wish is not applied: {shown(row)}")
        elif row["desired"] == "present":
            wanted[row["node_id"]][row["uuid"]] = row["gen"]
            if row["link_enc"] is None:
                found.append(f"no link: {shown(row)}")
    for node_id, site in company.sites.items():
        state = tables.nodes.rows[node_id]["state"]
        if state == "frozen":
            found.append(f"{node_id} is frozen: {tables.nodes.rows[node_id]['reason']}")
        if state in NOT_COMPARED:
            continue
        listed = {uuid: site.node._gen(uuid) for uuid in site.node.running}
        if listed != wanted[node_id]:
            more = {named(u): g for u, g in listed.items() if wanted[node_id].get(u) != g}
            less = {named(u): g for u, g in wanted[node_id].items() if listed.get(u) != g}
            found.append(f"{node_id} lists {more}, and should {less}")
    return found


def _of_money(company: Company) -> list[str]:
    rows = company.storage.tables.payments.rows
    found = []
    for till in company.tills.values():
        for taken in till.taken.values():
            row = rows.get((taken.provider, taken.number))
            if row is None:
                found.append(f"{taken} is not known to the shop")
            elif row["disposition"] == "received":
                found.append(f"{taken} is not decided about")
            elif taken.returned and row["disposition"] != "refunded":
                found.append(f"{taken} went back, and stands as {row['disposition']}")
            elif row["disposition"] == "refund_pending":
                found.append(f"{taken} is to go back")
            elif row["disposition"] == "refunded" and not taken.returned:
                found.append(f"{taken} never went back")
    return found


def shown(row: Row) -> dict[str, Any]:
    """A row in short."""
    short = {}
    for name, value in row.items():
        if value is None or name in {"link_enc", "created_at", "payload", "body_sha256"}:
            continue
        if isinstance(value, UUID):
            value = named(value)  # noqa: PLW2901
        elif isinstance(value, datetime):
            value = f"{value:%m-%d %H:%M:%S.%f}"  # noqa: PLW2901
        short[name] = value
    return short
