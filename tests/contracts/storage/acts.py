"""Everything that the program asks of its storage, with arguments that chance chooses.

Decisions are production's own, made from what was read, and recorded at once or after other acts.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from actors.user.decisions.access import (
    decide_expiry,
    decide_grant,
    decide_move,
    decide_reissue,
    decide_repair,
    decide_standing,
    decide_trial,
)
from actors.user.decisions.catalogue import Catalogue, Fresh, Place
from actors.user.decisions.money import decide_credit, decide_credit_held, decide_refund
from actors.user.messages import CreditHeld, GrantAccess, Reissue, Standing
from config.money import STARS
from config.plans import DAY_S, Plan, Plans, Title, Trial
from config.providers import Terms
from storage.expiry import Reminder
from storage.identity import claim_database
from storage.phases import announce_nodes
from storage.rows import (
    AccessChange,
    ActDraft,
    AlertDraft,
    CredentialRow,
    Credit,
    EventDraft,
    Hold,
    InboxRow,
    LetterDraft,
    NodeState,
    PaymentDraft,
    PaymentRow,
    PurchaseDraft,
    PurchaseRow,
    ReconcileRun,
    Refund,
    RefundOrder,
    SettingDraft,
    UserRow,
)
from tests.contracts.storage.pair import Pair, Side
from tests.simulation.twin.tables import Row

USERS = (1, 2, 3, 4, 5)
NODES = ("n1", "n2")
EPOCHS = (UUID(int=71), UUID(int=72))
OWNERS = (100, 1)
REMINDERS = (
    Reminder(text_id="news-a-day", lead_s=DAY_S, next_lead_s=10_800),
    Reminder(text_id="news-three-hours", lead_s=10_800),
    Reminder(text_id="news-missed", lead_s=-DAY_S),
)
TITLE = Title(en="Access", ru="Доступ")
PLANS = Plans(
    plans=(
        Plan(id="month", title=TITLE, period_s=3 * DAY_S, price_stars=150),
        Plan(id="week", title=TITLE, period_s=DAY_S, price_stars=60, tier="fast"),
    ),
    trial=Trial(plan="month", period_s=DAY_S),
)


@dataclass
class Story:
    """A run of acts, chosen by one source of chance."""

    pair: Pair
    source: random.Random
    #: What was decided and not recorded; meanwhile other things happen.
    decided: list[Any] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """Whether something with this probability happens."""
        return self.source.random() < share

    def uuid(self) -> UUID:
        """An id that nobody has."""
        return UUID(int=self.source.getrandbits(128), version=4)

    def one(self, table: str) -> Row | None:
        """Any row of a table, most times one of the latest."""
        rows = list(self.pair.tables.of[table].rows.values())
        if not rows:
            return None
        return self.source.choice(rows[-4:] if self.chance(0.7) else rows)

    def any_act(self) -> "Act":
        """An act, each as often as it should be."""
        return self.source.choices(list(ACTS), list(ACTS.values()))[0]

    def user(self) -> int:
        """Anybody, seldom somebody who never wrote."""
        return 9 if self.chance(0.05) else self.source.choice(USERS)

    def node(self) -> str:
        """Any node, seldom one on which nobody is, or one that is none."""
        return self.source.choice(("n3", "n9")) if self.chance(0.05) else self.source.choice(NODES)

    def ordered(self) -> tuple[UUID, int]:
        """Any order and its buyer, seldom none, or somebody else's."""
        rows = self.pair.tables.rows("purchases")
        if not rows or self.chance(0.03):
            return self.uuid(), self.user()
        unpaid = [row for row in rows if row["status"] in {"created", "awaiting_payment"}]
        row = self.source.choice(unpaid if unpaid and self.chance(0.7) else rows)
        return row["id"], self.user() if self.chance(0.1) else row["user_id"]

    def act(self, action: str) -> ActDraft:
        """An owner's act, sometimes one that was done before."""
        row = self.one("admin_actions")
        known = row and row["operation_id"]
        return ActDraft(
            operation_id=known if known and self.chance(0.1) else f"op-{self.uuid()}",
            actor=f"tg:{self.source.choice(OWNERS)}",
            action=action,
            target=str(self.user()),
            reason=self.source.choice(("", "asked for")),
            details={"why": ["any", 1, 0.5, None], "so": True},
        )

    def alerts(self, what: str) -> list[AlertDraft]:
        """What owners hear, each of them, sometimes again."""
        key = f"{what}:{self.source.randrange(8)}"
        text = self.source.choice(("alert-payment-held", "alert-any"))
        return [
            AlertDraft(dedupe_key=f"{key}:{owner}", owner=owner, text_id=text, arguments={"n": 1})
            for owner in OWNERS
        ]

    def fresh(self) -> Fresh:
        """New ids for a decision."""
        return Fresh(uuid=self.uuid(), subscription=self.uuid())

    def catalogue(self) -> Catalogue:
        """What is sold, and how nodes stand."""
        states = {row["id"]: NodeState(row["state"]) for row in self.pair.tables.rows("nodes")}
        return Catalogue(
            plans=PLANS,
            nodes=NODES,
            terms={name: Terms(provider=name, currency=STARS) for name in ("stars", "manual")},
            owners=OWNERS,
            places={name: Place(state=state) for name, state in states.items()},
        )

    async def payment(self) -> tuple[PaymentRow, PurchaseRow | None] | None:
        """Any charge and its order, as they are read."""
        row = self.one("payments")
        if row is None:
            return None
        keys = row["provider"], row["provider_payment_id"]
        found: tuple[PaymentRow, PurchaseRow | None] | None
        _, found = await self.pair.both("read charge", lambda side: side.users.payment(*keys))
        return found

    async def load(self, user_id: int) -> Any:
        """A user's rows."""
        both = await self.pair.both("load", lambda side: side.users.load(user_id))
        return both[1]

    async def wish(self) -> CredentialRow | None:
        """Any key, as it is read, or as it was."""
        rows = self.pair.tables.rows("credentials")
        waiting = [row for row in rows if row["applied_gen"] < row["gen"]]
        if not rows:
            return None
        row = self.source.choice(waiting if waiting and self.chance(0.8) else rows)
        user_id = self.pair.tables.subscriptions.rows[row["subscription_id"]]["user_id"]
        loaded = await self.load(user_id)
        found: CredentialRow
        (found,) = [key for key in loaded.credentials if key.uuid == row["uuid"]]
        return replace(found, gen=found.gen - 1) if self.chance(0.3) else found

    async def record(self, decision: Any) -> None:
        """Record what was decided, or leave it for later."""
        if self.chance(0.15):
            self.decided.append(decision)
            return
        if self.decided and self.chance(0.3):
            decision = self.decided.pop(self.source.randrange(len(self.decided)))
        match decision:
            case AccessChange():
                await self.pair.both("change", lambda side: side.users.record_change(decision))
            case Credit():
                await self.pair.both("credit", lambda side: side.users.record_credit(decision))
            case Hold():
                await self.pair.both("hold", lambda side: side.users.record_hold(decision))
            case Refund():
                await self.pair.both("refund", lambda side: side.users.record_refund(decision))


Act = Callable[[Story], Awaitable[None]]

# People and orders.


async def meet(story: Story) -> None:
    user_id, language = story.user(), story.source.choice(("en", "ru", "EN", "e1"))
    await story.pair.both("meet", lambda side: side.users.introduce(user_id, language))
    await story.pair.both("speak", lambda side: side.users.choose_language(user_id, "ru"))
    await story.pair.both("language", lambda side: side.queries.language(user_id))
    there = story.chance(0.7)
    await story.pair.both("there", lambda side: side.queries.reachable(user_id, reachable=there))


async def order(story: Story) -> None:
    draft = PurchaseDraft(
        id=story.ordered()[0] if story.chance(0.05) else story.uuid(),
        user_id=story.user(),
        kind=story.source.choice(("new", "renew", "change")),
        plan_id=story.source.choice(("month", "week", "gone")),
        node_id=story.node(),
        price=story.source.choice((150, 60)),
        currency=STARS,
        period_s=0 if story.chance(0.05) else story.source.choice((DAY_S, 3 * DAY_S)),
        provider=story.source.choice(("stars", "manual")),
        operation_id=f"tap-{story.source.randrange(99)}",
        chat_id=5,
        open_for_s=story.source.choice((60, DAY_S)),
    )
    await story.pair.both("order", lambda side: side.users.open_purchase(draft))
    await invoice(story)


async def invoice(story: Story) -> None:
    purchase_id, user_id = story.ordered()
    number = story.source.choice((None, None, f"i{story.source.randrange(6)}"))
    url = number and f"pay/{number}"
    await story.pair.both(
        "invoice", lambda side: side.users.record_invoice(purchase_id, user_id, number, url)
    )


async def tap(story: Story) -> None:
    (purchase_id, user_id), query = story.ordered(), story.source.choice("ab")
    await story.pair.both("again", lambda side: side.users.reopen_purchase(purchase_id, "tap-x"))
    await story.pair.both("approve", lambda side: side.queries.approve(purchase_id, query))
    await story.pair.both("quote", lambda side: side.queries.quote(purchase_id))
    await story.pair.both("read", lambda side: side.users.purchase(purchase_id))
    await story.pair.both("read", lambda side: side.queries.purchase(purchase_id))
    if story.chance(0.2):
        await story.pair.both("cancel", lambda side: side.users.cancel_order(purchase_id, user_id))


async def by_hand(story: Story) -> None:
    purchase_id, user_id = story.ordered()
    alerts, act, approve = story.alerts("claim"), story.act("manual"), story.chance(0.6)
    if story.chance(0.7):
        await story.pair.both(
            "claim", lambda side: side.users.claim_paid(purchase_id, user_id, alerts)
        )
    payment = charge_of(story, "manual", str(purchase_id), purchase_id, user_id)
    await story.pair.both(
        "decide",
        lambda side: side.users.decide_manual(
            purchase_id, user_id, approve=approve, act=act, payment=payment
        ),
    )


# Money.


def charge_of(
    story: Story, provider: str, number: str, purchase_id: UUID | None, user_id: int
) -> PaymentDraft:
    """A charge as a provider tells of it."""
    return PaymentDraft(
        provider=provider,
        provider_payment_id=number,
        purchase_id=purchase_id,
        user_id=user_id,
        amount=story.source.choice((150, 150, 150, 60, 10)),
        currency=story.source.choice((STARS, STARS, STARS, "EUR")),
        body_sha256=b"\1\2",
        provider_ref=story.source.choice((None, "ref")),
    )


async def pay(story: Story) -> None:
    row = story.one("purchases")
    user_id = story.user() if row is None or story.chance(0.1) else row["user_id"]
    number = f"p{story.source.randrange(400)}"
    purchase_id = None if row is None or story.chance(0.05) else row["id"]
    draft = charge_of(story, "stars", number, purchase_id, user_id)
    await story.pair.both("charge", lambda side: side.users.receive_payment(draft))
    await credit(story)


async def credit(story: Story) -> None:
    found = await story.payment()
    if found is None:
        return
    record = await story.load(found[0].user_id)
    await story.record(decide_credit(record, *found, story.catalogue(), story.fresh()))
    message = CreditHeld(
        operation_id=story.act("").operation_id,
        provider="",
        provider_payment_id="",
        who="tg:1",
        reason="found it",
    )
    decision = decide_credit_held(record, *found, story.catalogue(), story.fresh(), message)
    if isinstance(decision, Credit):
        await story.record(decision)


async def buy(story: Story) -> None:
    """An order, its money, and mostly what follows."""
    await order(story)
    await pay(story)
    if story.chance(0.7):
        await provision(story)


async def give_back(story: Story) -> None:
    found = await story.payment()
    if found is None:
        return
    payment = found[0]
    decision = decide_refund(
        await story.load(payment.user_id),
        *found,
        story.catalogue(),
        reason="asked for",
        actor="tg:1",
        act=story.act("refund") if story.chance(0.5) else None,
        done=story.chance(0.2),
    )
    if isinstance(decision, Refund):
        await story.record(decision)
    await story.pair.both("by hand?", lambda side: side.users.waits_for_hand(payment))


async def arrive(story: Story) -> None:
    rows = story.pair.tables.rows("payments")
    back = [row for row in rows if row["disposition"] == "refund_pending"]
    if not rows:
        return
    row = story.source.choice(back if back and story.chance(0.8) else rows)
    act = story.act("refunded") if story.chance(0.5) else None
    keys = row["provider"], row["provider_payment_id"]
    await story.pair.both("arrived", lambda side: side.users.record_refunded(*keys, act))


async def sweep_money(story: Story) -> None:
    after_s, limit = story.source.choice((2, 60, DAY_S)), story.source.choice((1, 3, 50))
    money: Callable[[Side], Any] = lambda side: side.money  # noqa: E731 - short for below
    await story.pair.both("uncredited", lambda side: money(side).uncredited(after_s, limit))
    await story.pair.both("held long", lambda side: money(side).held_too_long(after_s, limit))
    await story.pair.both("held", lambda side: side.queries.held_payments(limit))
    number = story.source.randrange(30)
    await story.pair.both("number", lambda side: side.queries.payment_by_number(number))
    ids = [row["provider_payment_id"] for _ in range(5) if (row := story.one("payments"))] + ["x"]
    await story.pair.both("known", lambda side: money(side).known("stars", ids))
    await story.pair.both("returned", lambda side: money(side).returned("stars", ids))
    await story.pair.both("poller", lambda side: money(side).poller("stars"))
    await story.pair.both("polled", lambda side: money(side).poll_succeeded("stars", "c", 2))
    await story.pair.both("close", lambda side: money(side).close_expired())
    await story.pair.both("given", lambda side: side.users.given_today())


async def sweep_refunds(story: Story) -> None:
    if story.chance(0.2):
        await story.pair.both("resume", lambda side: side.money.resume())
    _, due = await story.pair.both("refunds", lambda side: side.money.refunds_due(50))
    orders: list[RefundOrder] = due or []
    if not orders:
        return
    order_ = story.source.choice(orders)
    alerts = story.alerts("refund")
    await story.pair.both("begin", lambda side: side.money.begin_refund(order_, 30))
    if story.chance(0.4):
        await story.pair.both(
            "postpone", lambda side: side.money.postpone_refund(order_, 90, alerts)
        )
    if story.chance(0.2):
        await story.pair.both("hand", lambda side: side.money.refund_by_hand(order_, alerts))


# Access.


async def grant(story: Story) -> None:
    message = GrantAccess(
        operation_id=f"g{story.source.randrange(30)}",
        plan_id=story.source.choice((None, "month", "week")),
        period_s=story.source.choice((None, 3_600, 3 * DAY_S)),
        who="tg:1",
        reason="",
    )
    record = await story.load(story.user())
    decision = decide_grant(record, message, story.catalogue(), story.fresh(), 0)
    if isinstance(decision, AccessChange):
        # Without its act, so that the ledger itself has to know it again.
        await story.record(replace(decision, act=None) if story.chance(0.5) else decision)


async def try_out(story: Story) -> None:
    record = await story.load(story.user())
    decision = decide_trial(record, story.catalogue(), story.fresh(), 0)
    if isinstance(decision, AccessChange):
        await story.record(decision)


async def change_standing(story: Story) -> None:
    record = await story.load(story.user())
    kinds = (*Standing, Standing.RESTORED, Standing.UNBANNED, Standing.UNBANNED)
    standing = story.source.choice(kinds)
    act = story.act(standing)
    decision = decide_standing(record, standing, act, story.catalogue(), story.fresh())
    if isinstance(decision, AccessChange):
        await story.record(decision)


async def reissue(story: Story) -> None:
    message = Reissue(operation_id=f"r{story.source.randrange(200)}", leaked=story.chance(0.4))
    record = await story.load(story.user())
    decision = decide_reissue(record, message, story.catalogue(), story.fresh())
    if isinstance(decision, AccessChange):
        await story.record(decision)


async def end(story: Story) -> None:
    decision = decide_expiry(await story.load(story.user()))
    if isinstance(decision, AccessChange):
        await story.record(decision)


async def repair(story: Story) -> None:
    row = story.one("credentials")
    record = await story.load(story.user())
    if row is not None:
        decision = decide_repair(record, row["uuid"], row["gen"])
        if isinstance(decision, AccessChange):
            await story.record(decision)


async def leave(story: Story) -> None:
    decision = decide_move(await story.load(story.user()), story.catalogue(), story.fresh())
    if isinstance(decision, AccessChange):
        await story.record(decision)


async def sweep_time(story: Story) -> None:
    limit, reminder = story.source.choice((1, 2, 100)), story.source.choice(REMINDERS)
    await story.pair.both("lapsed", lambda side: side.lapses.due(limit))
    await story.pair.both("standing", lambda side: side.lapses.standing())
    await story.pair.both("clock", lambda side: side.lapses.clock())
    await story.pair.both("remind", lambda side: side.lapses.remind(reminder))
    if story.chance(0.5):
        await story.pair.both("end many", lambda side: side.lapses.end_many(limit))
    if story.chance(0.5):
        await story.pair.both("looked", lambda side: side.lapses.looked())


# Nodes.


async def know_nodes(story: Story) -> None:
    nodes = [*NODES, "n3"] if story.chance(0.7) else ["n1"]
    node_id, epoch = story.node(), story.source.choice(EPOCHS)
    await story.pair.both("announce", lambda side: announce_nodes(side.database, nodes))
    await story.pair.both("node", lambda side: side.nodes.node(node_id))
    await story.pair.both("database", lambda side: side.nodes.database_id())
    if story.chance(0.3):
        await story.pair.both("epoch", lambda side: side.nodes.learn_epoch(node_id, epoch))
    if story.chance(0.3):
        await story.pair.both("resume", lambda side: side.nodes.resume(node_id))


async def provision(story: Story) -> None:
    node_id, repeats = story.node(), story.chance(0.7)
    hands = [key["uuid"]] if (key := story.one("credentials")) and story.chance(0.2) else []
    _, due = await story.pair.both(
        "due", lambda side: _due(side, node_id, hands, repeats=repeats), in_order=False
    )
    rows: list[CredentialRow] = due or []
    if not rows:
        return
    if story.chance(0.5):
        await story.pair.both("begin", lambda side: side.nodes.begin_many(rows, 30))
        done = [(row, link_of(row.uuid) if story.chance(0.8) else None) for row in rows]
        seq = story.source.randrange(40)
        await story.pair.both(
            "outcomes", lambda side: side.nodes.record_outcomes(node_id, done, seq)
        )
    else:
        row = story.source.choice(rows)
        await story.pair.both("begin", lambda side: side.nodes.begin(row, 30))
        await answer(story, row)


async def _due(
    side: Side, node_id: str, hands: list[UUID], *, repeats: bool
) -> list[CredentialRow]:
    adds, removals = await side.nodes.due(node_id, 50, hands, repeats=repeats)
    return adds + removals


async def answer(story: Story, row: CredentialRow) -> None:
    """What may become of a call."""
    match story.source.randrange(6):
        case 0:
            await story.pair.both("fails", lambda side: side.nodes.postpone(row, 9.5, "weather"))
        case 1:
            await story.pair.both(
                "set aside", lambda side: side.nodes.quarantine(row, "refused", OWNERS)
            )
        case 2:
            await story.pair.both("outrun", lambda side: side.nodes.outrun(row, row.gen + 2))
        case _:
            link, seq = link_of(row.uuid), story.source.randrange(40)
            await story.pair.both("done", lambda side: side.nodes.record_outcome(row, link, seq))


async def late_answer(story: Story) -> None:
    row = await story.wish()
    if row is not None:
        await answer(story, row)
        await story.pair.both("gen", lambda side: side.nodes.generation(row.uuid))


async def outage(story: Story) -> None:
    node_id = story.node()
    await story.pair.both("delays", lambda side: side.nodes.tell_of_delays(node_id, 50))
    await story.pair.both("hasten", lambda side: side.nodes.hasten(node_id, []))
    if story.source.random() < 0.3:
        await story.pair.both("forget waits", lambda side: side.lapses.forget_waits())


async def cut_off(story: Story) -> None:
    row = await story.wish()
    if row is not None:
        await story.pair.both("begin", lambda side: side.nodes.begin(row, 30))
        await story.pair.both("take up", lambda side: side.nodes.take_up([row.uuid]))


async def operate_node(story: Story) -> None:
    node_id = story.node()
    state = story.source.choice((*NodeState, NodeState.ACTIVE, NodeState.ACTIVE, NodeState.ACTIVE))
    of = list(NodeState) if state is NodeState.ACTIVE else story.source.sample(list(NodeState), 3)
    match story.source.randrange(6):
        case 0 | 3 | 4:
            await story.pair.both(
                "state", lambda side: side.compared.set_state(node_id, state, of, "tg:1", "why")
            )
        case 1:
            await story.pair.both(
                "freeze", lambda side: side.nodes.freeze(node_id, "orphans", OWNERS)
            )
        case 2:
            await story.pair.both("remove", lambda side: side.compared.remove_node(node_id, "", ""))
    await story.pair.both("unfreeze", lambda side: side.compared.unfreeze(node_id, "tg:1", "ok"))
    uuids = [story.uuid() for _ in range(2)]
    if story.chance(0.2):
        await story.pair.both(
            "accept", lambda side: side.compared.accept(node_id, "db;9", 9, uuids, "tg:1")
        )


async def compare(story: Story) -> None:
    node_id, listed_at = (
        story.node(),
        story.pair.at - timedelta(seconds=story.source.choice((0, 60))),
    )
    compared: Callable[[Side], Any] = lambda side: side.compared  # noqa: E731 - short for below
    await story.pair.both("basis", lambda side: compared(side).basis(node_id))
    await story.pair.both("seq", lambda side: compared(side).writer_seq())
    await story.pair.both("wanted", lambda side: compared(side).wanted(node_id, UUID(int=0), 2))
    await story.pair.both("known", lambda side: compared(side).known(node_id))
    await story.pair.both("keyless", lambda side: compared(side).keyless())
    await story.pair.both("lately", lambda side: compared(side).removed_lately(node_id))
    await story.pair.both("overview", lambda side: compared(side).overview())
    middle = UUID(int=1 << 127)
    parts = [(UUID(int=0), middle), (middle, UUID(int=(1 << 128) - 1))]
    await story.pair.both(
        "ranges", lambda side: compared(side).in_ranges(node_id, listed_at, parts, 2)
    )
    there = [row for row in story.pair.tables.rows("credentials") if row["node_id"] == node_id]
    keys = story.source.sample(there, min(3, len(there)))
    uuids = [row["uuid"] for row in keys] + [story.uuid()]
    uuids += [row["uuid"] for row in story.pair.tables.rows("adopted_users")]
    await story.pair.both(
        "strangers", lambda side: _strangers(side, node_id, uuids, listed_at), in_order=False
    )
    await mend(story, node_id, keys)


async def _strangers(side: Side, node_id: str, uuids: list[UUID], listed_at: Any) -> list[Any]:
    rows, adopted = await side.compared.strangers(node_id, uuids, listed_at)
    return [*rows, adopted]


async def mend(story: Story, node_id: str, keys: list[Row]) -> None:
    """What a comparison makes of what it found."""
    found = list(
        {row["uuid"]: (row["uuid"], row["gen"] + story.chance(0.2)) for row in keys}.values()
    )
    run = ReconcileRun(
        node_id=node_id,
        outcome=story.source.choice(("equal", "removing")),
        took_s=0.25,
        on_node=3,
        wanted=2,
        sample=tuple(str(row["uuid"]) for row in keys),
    )
    match story.source.randrange(8):
        case 0 | 7:
            await story.pair.both("raise", lambda side: side.compared.raise_missing(node_id, found))
        case 1:
            await story.pair.both("again", lambda side: side.compared.remove_again(node_id, found))
        case 2:
            await story.pair.both("outrun", lambda side: side.compared.outrun(node_id, found))
        case 3:
            await story.pair.both("redrive", lambda side: side.compared.redrive_all(node_id))
        case 4:
            await story.pair.both("number", lambda side: side.compared.next_seq())
        case _:
            await story.pair.both("note", lambda side: side.compared.note(run))


async def place(story: Story) -> None:
    await story.pair.both("places", lambda side: side.placement.places(), in_order=False)
    await story.pair.both("users", lambda side: side.placement.users())
    await story.pair.both("leaving", lambda side: side.placement.leaving(50), in_order=False)


# Messages.


async def tell(story: Story) -> None:
    pair = story.pair
    both = await pair.both("to tell", lambda side: side.notices.due(10_000), in_order=False)
    if not both[0]:
        return
    there = {repr(pair.plain(row)): row for row in both[0]}
    here = {repr(pair.plain(row)): row for row in both[1]}
    # Of each kind of news as often, however many alerts there are.
    kinds = sorted({str(row.payload.get("notice")) for row in here.values()})
    kind = story.source.choice(kinds)
    key = story.source.choice([key for key in sorted(here) if here[key].payload["notice"] == kind])
    of = {pair.postgres.name: there[key], pair.twin.name: here[key]}
    await pair.both("news", lambda side: side.notices.news(of[side.name]))
    await pair.both("begin", lambda side: side.notices.begin(of[side.name], 30))
    match story.source.randrange(8):
        case 0:
            await pair.both("later", lambda side: side.notices.postpone(of[side.name], 60))
        case 1:
            await pair.both("stumbled", lambda side: side.notices.stumbled(of[side.name], 60))
        case 2:
            await pair.both("blocked", lambda side: side.notices.cannot_reach(of[side.name]))
        case 3:
            await pair.both("drop", lambda side: side.notices.drop(of[side.name]))
        case 4:
            await pair.both("resume", lambda side: side.notices.resume())
        case _:
            await pair.both("sent", lambda side: side.notices.sent(of[side.name], 900))


# Updates, and what operators see.


@dataclass(frozen=True)
class Update:
    """As it came."""

    source: str
    source_id: str
    payload: str
    lane: int | None


async def take_update(story: Story) -> None:
    updates = [
        Update(
            "telegram",
            _number_of(story),
            story.source.choice(("one", "two")),
            story.source.choice((None, 1, 2)),
        )
        for _ in range(story.source.randrange(1, 3))
    ]
    await story.pair.both("accept", lambda side: side.inbox.accept(updates))


def _number_of(story: Story) -> str:
    """An update's, sometimes one that came before."""
    row = story.one("inbox")
    return row["source_id"] if row and story.chance(0.3) else str(story.source.randrange(10_000))


async def work(story: Story) -> None:
    limit, lanes = story.source.choice((1, 3, 50)), [1] if story.chance(0.2) else []
    hands = [row["seq"]] if (row := story.one("inbox")) and story.chance(0.2) else []
    _, found = await story.pair.both(
        "waiting", lambda side: side.inbox.waiting(limit, lanes, hands)
    )
    rows: list[InboxRow] = found or []
    if not rows:
        return
    taken = story.source.choice(rows)
    await story.pair.both("begin", lambda side: side.inbox.begin(taken))
    letter = letter_of(story, f"{taken.source}:{taken.source_id}")
    counts = story.chance(0.5)
    match story.source.randrange(6):
        case 0:
            await story.pair.both(
                "release", lambda side: side.inbox.release(taken, after_s=5, counts=counts)
            )
        case 1:
            await story.pair.both("refused", lambda side: side.inbox.refused(taken, after_s=5))
        case 2 | 3:
            await story.pair.both("aside", lambda side: side.inbox.quarantine(taken, "x", letter))
        case _:
            await story.pair.both("done", lambda side: side.inbox.done(taken, "ok"))


async def tidy(story: Story) -> None:
    await story.pair.both("resume", lambda side: side.inbox.resume())
    await story.pair.both("prune", lambda side: side.inbox.prune())
    await story.pair.both("prune", lambda side: side.records.prune())
    await story.pair.both("alive", lambda side: side.database.show_alive())
    await story.pair.both("claim", lambda side: claim_database(side.database, 7, ["key"]))


def letter_of(story: Story, correlation_id: str) -> LetterDraft:
    """A message that was given up."""
    row = story.one("dead_letters")
    return LetterDraft(
        id=row["letter_id"] if row and story.chance(0.1) else story.uuid(),
        age_s=2.5,
        correlation_id=correlation_id,
        operation_id="op",
        actor="user/1",
        message_type="Pay",
        payload=story.source.choice((None, {"a": [1, None]}, {"text": "a\0b"})),
        attempts=3,
        error="error",
        traceback=story.source.choice(("", "trace")),
    )


async def journal(story: Story) -> None:
    row = story.one("supervision_events")
    events = [
        EventDraft(
            id=row["id"] if row and story.chance(0.2) else story.uuid(),
            age_s=story.source.choice((0, 1.25)),
            kind=story.source.choice(("started", "failed")),
            supervisor="users",
            actor=story.source.choice(("user/1", "user/2")),
            incarnation=story.source.choice((None, 2)),
            reason="why",
            details={"deep": {"a": 1}},
            correlation_id="",
        )
        for _ in range(2)
    ]
    letters = [letter_of(story, story.source.choice(("", "journey", "telegram:3")))]
    alerts = story.alerts("journal")
    await story.pair.both("record", lambda side: side.records.record(events, letters, alerts))
    within_s = story.source.choice((None, 60.0))
    actor, kinds = story.source.choice((None, "user/1")), story.source.choice((None, ["failed"]))
    await story.pair.both(
        "events",
        lambda side: side.records.events(9, actor=actor, within_s=within_s, kinds=kinds),
    )


async def decide_letter(story: Story) -> None:
    rows = story.pair.tables.rows("dead_letters")
    waiting = [row["id"] for row in rows if row["state"] == "waiting"]
    number = story.source.choice(waiting) if waiting and story.chance(0.8) else 1
    sendable = story.chance(0.5)
    state = story.source.choice((None, "waiting", "dropped"))
    await story.pair.both("letters", lambda side: side.records.dead_letters(9, state=state))
    await story.pair.both("letter", lambda side: side.records.dead_letter(number))
    if story.chance(0.4):
        await story.pair.both(
            "retry", lambda side: side.records.retry_dead_letter(number, "tg:1", sendable=sendable)
        )
    elif story.chance(0.5):
        await story.pair.both(
            "drop", lambda side: side.records.drop_dead_letter(number, "tg:1", "old")
        )
    await story.pair.both("note", lambda side: side.records.note_action("a", "b", "1", "r", {}))
    await story.pair.both("acts", lambda side: side.records.actions(20))


async def tune(story: Story) -> None:
    values = (None, True, 1, 1.0, "text", [1, True], {"a": 1})
    key = story.source.choice(("one", "two"))
    _, present = await story.pair.both("overrides", lambda side: side.records.overrides())
    draft = SettingDraft(
        key=key,
        expected_old=present.get(key) if story.chance(0.8) else story.source.choice(values),
        new=story.source.choice(values),
        actor="tg:1",
        reason="why",
        revert_after_s=story.source.choice((None, None, 30.0, 900.0)),
    )
    row = story.one("settings_history")
    number, at = row["id"] if row else 1, story.pair.at - timedelta(seconds=30)
    await story.pair.both("set", lambda side: side.records.set_setting(draft))
    if story.chance(0.3):
        await story.pair.both("undo", lambda side: side.records.undo_setting(number, "tg:1", ""))
    if story.chance(0.5):
        await story.pair.both("revert", lambda side: side.records.revert_due(), in_order=False)
    await story.pair.both("history", lambda side: side.records.setting_history(5))
    await story.pair.both("history", lambda side: side.records.setting_history(5, "one"))
    await story.pair.both("value", lambda side: side.records.value_at("one", at))


async def read_story(story: Story) -> None:
    user_id, alerts = story.user(), story.alerts("user")
    await story.pair.both("story", lambda side: side.queries.story(user_id), in_order=False)
    await story.pair.both("alert", lambda side: side.users.alert(alerts))


async def let_time_pass(story: Story) -> None:
    seconds = story.source.choice((1, 5, 31, 600, 3_700, DAY_S / 3, DAY_S, 8 * DAY_S, 31 * DAY_S))
    await story.pair.wait(seconds)


def link_of(uuid: UUID) -> str:
    """A link as the node would give it."""
    return f"vless://{uuid}@node.example.com:443?security=reality#node"


#: With how often each is chosen beside the others.
ACTS: dict[Act, int] = {
    meet: 1,
    buy: 16,
    invoice: 2,
    tap: 2,
    by_hand: 2,
    credit: 6,
    give_back: 5,
    arrive: 1,
    sweep_money: 1,
    sweep_refunds: 3,
    grant: 5,
    try_out: 1,
    change_standing: 3,
    reissue: 6,
    end: 3,
    repair: 2,
    leave: 3,
    sweep_time: 3,
    know_nodes: 3,
    provision: 12,
    late_answer: 10,
    outage: 3,
    cut_off: 1,
    operate_node: 4,
    compare: 5,
    place: 1,
    tell: 5,
    take_update: 3,
    work: 4,
    tidy: 2,
    journal: 2,
    decide_letter: 4,
    tune: 3,
    read_story: 1,
    let_time_pass: 9,
}


async def begin(story: Story) -> None:
    """There are people, and nodes for them."""
    await story.pair.both("announce", lambda side: announce_nodes(side.database, list(NODES)))
    for user_id in USERS:
        await story.pair.both("meet", partial(_introduce, user_id))


async def _introduce(user_id: int, side: Side) -> UserRow:
    return await side.users.introduce(user_id, "en")
