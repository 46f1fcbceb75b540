"""What people, providers and machines do, one step each; a list of steps is a story.

A step names orders and charges by number, counted round what there is, so that any list of steps
means something and a shorter one means less.
"""

from dataclasses import dataclass
from uuid import UUID, uuid4

from hypothesis import strategies as st

from actors.payments.messages import credit_of
from actors.payments.ports import Charge
from actors.user.messages import (
    CancelOrder,
    ChangeStanding,
    ClaimPaid,
    CreditHeld,
    CreditPayment,
    DecideManual,
    ExpireAccess,
    GrantAccess,
    InvoiceAlreadySent,
    InvoiceDue,
    InvoiceSent,
    NoSuchPayment,
    NoteRefund,
    OpenPurchase,
    RefundPayment,
    Reissue,
    Standing,
    StartTrial,
)
from tests.integration.shop import pass_time
from tests.stateful.back_end import DAY_S, PLANS, TERMS, Stage
from tests.stateful.points import Side
from tests.stateful.world import Booked, Fate, Trouble

LEFT_TO_OWNERS = "SELECT 1 FROM outbox WHERE dedupe_key = $1 AND state = 'failed'"

USERS = (101, 102, 103)


@dataclass(slots=True)
class Ordered:
    """An order that somebody heard of."""

    id: UUID
    user_id: int
    plan_id: str
    provider: str
    price: int
    currency: str


class Story:
    """What the outside knows: orders, charges, owners' commands."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.orders: list[Ordered] = []
        self.charges: list[Booked] = []

    def order(self, number: int) -> Ordered | None:
        """An order, counted from the newest."""
        return self.orders[-1 - number % len(self.orders)] if self.orders else None

    def charge(self, number: int) -> Booked | None:
        """A charge, counted from the newest."""
        return self.charges[-1 - number % len(self.charges)] if self.charges else None

    def book(self, booked: Booked) -> Booked:
        """A provider took money."""
        known = next((c for c in self.charges if c.key == booked.key), None)
        if known is not None:
            return known
        self.charges.append(booked)
        if TERMS[booked.provider].lists_charges:
            self.stage.gateways[booked.provider].booked[booked.number] = booked
        return booked

    async def push(self, booked: Booked) -> None:
        """The provider tells of a charge; it stops when somebody took it."""
        if await self.stage.ask(booked.user_id, pushed(booked)) is not None:
            booked.told = True

    async def note(self, booked: Booked) -> None:
        """The provider tells that it gave money back by itself."""
        note = NoteRefund(
            operation_id=f"refund:{booked.provider}:{booked.number}",
            provider=booked.provider,
            provider_payment_id=booked.number,
        )
        answer = await self.stage.ask(booked.user_id, note)
        booked.noted = answer is not None and not isinstance(answer, NoSuchPayment)


def pushed(booked: Booked) -> CreditPayment:
    """A charge as its push says it."""
    charge = Charge(
        provider_payment_id=booked.number,
        user_id=booked.user_id,
        purchase_id=booked.purchase_id,
        amount=booked.amount,
        currency=booked.currency,
        body="",
    )
    return credit_of(booked.provider, charge)


class Step:
    """One thing that happens."""

    async def take(self, story: Story) -> None:
        """Let it happen."""
        raise NotImplementedError


@dataclass(frozen=True)
class Order(Step):
    """A tap on a plan, `taps` times; the invoice is shown."""

    user: int
    plan: str
    provider: str = "stars"
    taps: int = 1

    async def take(self, story: Story) -> None:
        """See `Step`."""
        tap = OpenPurchase(
            operation_id=uuid4().hex[:16],
            plan_id=self.plan,
            language="en",
            chat_id=self.user,
            provider=self.provider,
        )
        for _ in range(self.taps):
            due = await story.stage.ask(self.user, tap)
            if isinstance(due, InvoiceAlreadySent | InvoiceDue):
                self._heard(story, due.purchase_id)
            if isinstance(due, InvoiceDue):
                sent = InvoiceSent(operation_id=tap.operation_id, purchase_id=due.purchase_id)
                await story.stage.ask(self.user, sent)

    def _heard(self, story: Story, purchase_id: UUID) -> None:
        if any(order.id == purchase_id for order in story.orders):
            return
        plan, currency = PLANS.get(self.plan), TERMS[self.provider].currency
        assert plan is not None
        price = plan.price_in(currency) or 0
        story.orders.append(
            Ordered(purchase_id, self.user, self.plan, self.provider, price, currency)
        )


@dataclass(frozen=True)
class Pay(Step):
    """Money for an order, in one of many ways; it is told `pushes` times, or never."""

    order: int = 0
    how: str = "exact"
    pushes: int = 1

    async def take(self, story: Story) -> None:
        """See `Step`."""
        order = story.order(self.order)
        if order is None or order.provider == "manual":
            return
        payer = order.user_id
        if self.how == "foreign":
            payer = next(user for user in USERS if user != order.user_id)
        amounts = {"over": order.price + 7, "under": order.price - 7}
        named = {"unknown": uuid4(), "nothing": None}.get(self.how, order.id)
        booked = story.book(
            Booked(
                provider=order.provider,
                number=uuid4().hex,
                user_id=payer,
                purchase_id=named,
                amount=amounts.get(self.how, order.price),
                currency="USD" if self.how == "currency" else order.currency,
                pushed=self.pushes > 0,
            )
        )
        for _ in range(self.pushes):
            await story.push(booked)


@dataclass(frozen=True)
class Buy(Step):
    """An order, paid."""

    user: int
    plan: str

    async def take(self, story: Story) -> None:
        """See `Step`."""
        await Order(self.user, self.plan).take(story)
        if story.orders and story.orders[-1].user_id == self.user:
            await Pay().take(story)


@dataclass(frozen=True)
class PushAgain(Step):
    """A push that came before comes again."""

    charge: int

    async def take(self, story: Story) -> None:
        """See `Step`."""
        booked = story.charge(self.charge)
        if booked is not None and booked.pushed:
            await story.push(booked)


@dataclass(frozen=True)
class Cancel(Step):
    """The buyer changes their mind."""

    order: int

    async def take(self, story: Story) -> None:
        """See `Step`."""
        if (order := story.order(self.order)) is not None:
            message = CancelOrder(operation_id=uuid4().hex, purchase_id=order.id)
            await story.stage.ask(order.user_id, message)


@dataclass(frozen=True)
class Claim(Step):
    """The buyer says that money was sent outside."""

    order: int

    async def take(self, story: Story) -> None:
        """See `Step`."""
        if (order := story.order(self.order)) is not None:
            message = ClaimPaid(operation_id=uuid4().hex, purchase_id=order.id)
            await story.stage.ask(order.user_id, message)


@dataclass(frozen=True)
class Decide(Step):
    """An owner, or two one after the other, approves or rejects what was paid outside."""

    order: int
    approve: bool
    owner: int
    other: bool | None = None

    async def take(self, story: Story) -> None:
        """See `Step`."""
        order = story.order(self.order)
        if order is None:
            return
        words = [(self.owner, self.approve)]
        if self.other is not None:
            words.append((3 - self.owner, self.other))
        for owner, approve in words:
            message = DecideManual(
                operation_id=uuid4().hex,
                purchase_id=order.id,
                approve=approve,
                who=f"tg:{owner}",
            )
            await story.stage.ask(order.user_id, message)
            if approve and order.provider == "manual":
                story.book(
                    Booked(
                        provider="manual",
                        number=str(order.id),
                        user_id=order.user_id,
                        purchase_id=order.id,
                        amount=order.price,
                        currency=order.currency,
                        pushed=False,
                    )
                )


@dataclass(frozen=True)
class Try(Step):
    """A trial."""

    user: int

    async def take(self, story: Story) -> None:
        """See `Step`."""
        await story.stage.ask(self.user, StartTrial(operation_id=uuid4().hex, language="en"))


@dataclass(frozen=True)
class Grant(Step):
    """An owner gives time; the same command may come twice."""

    user: int
    plan: str | None
    days: int
    times: int = 1

    async def take(self, story: Story) -> None:
        """See `Step`."""
        message = GrantAccess(
            operation_id=uuid4().hex,
            plan_id=self.plan,
            period_s=self.days * DAY_S,
            who="tg:1",
            reason="a present",
        )
        for _ in range(self.times):
            await story.stage.ask(self.user, message)


@dataclass(frozen=True)
class Stand(Step):
    """An owner revokes, restores, bans or unbans."""

    user: int
    standing: Standing

    async def take(self, story: Story) -> None:
        """See `Step`."""
        message = ChangeStanding(
            operation_id=uuid4().hex, standing=self.standing, who="tg:1", reason=""
        )
        await story.stage.ask(self.user, message)


@dataclass(frozen=True)
class NewLink(Step):
    """A user wants a new link."""

    user: int
    leaked: bool

    async def take(self, story: Story) -> None:
        """See `Step`."""
        await story.stage.ask(self.user, Reissue(operation_id=uuid4().hex, leaked=self.leaked))


@dataclass(frozen=True)
class Refund(Step):
    """An owner gives money back, or lets held money count."""

    charge: int
    credit: bool = False
    times: int = 1

    async def take(self, story: Story) -> None:
        """See `Step`."""
        booked = story.charge(self.charge)
        if booked is None:
            return
        kind = CreditHeld if self.credit else RefundPayment
        message = kind(
            operation_id=uuid4().hex,
            provider=booked.provider,
            provider_payment_id=booked.number,
            who="tg:1",
            reason="",
        )
        for _ in range(self.times):
            await story.stage.ask(booked.user_id, message)


@dataclass(frozen=True)
class SentBack(Step):
    """The provider gives money back by itself, and says so; or it stays silent."""

    charge: int
    told: bool = True

    async def take(self, story: Story) -> None:
        """See `Step`."""
        booked = story.charge(self.charge)
        if booked is None or not TERMS[booked.provider].lists_charges or booked.by_hand:
            return
        booked.sent_back, booked.noted = 1, False
        if self.told:
            await story.note(booked)


@dataclass(frozen=True)
class ByHand(Step):
    """An owner gave money back by hand, where no call does it, and says so."""

    charge: int

    async def take(self, story: Story) -> None:
        """See `Step`."""
        booked = story.charge(self.charge)
        if booked is None:
            return
        left = await story.stage.rows.fetchval(
            LEFT_TO_OWNERS, f"refund:{booked.provider}:{booked.number}"
        )
        if booked.provider != "manual" and not left:
            return
        note = NoteRefund(
            operation_id=uuid4().hex,
            provider=booked.provider,
            provider_payment_id=booked.number,
            who="tg:2",
        )
        booked.by_hand = True
        await story.stage.ask(booked.user_id, note)


@dataclass(frozen=True)
class Lapse(Step):
    """Time passes for every row."""

    seconds: float
    noticed: bool = True

    async def take(self, story: Story) -> None:
        """See `Step`."""
        await pass_time(story.stage.rows, self.seconds)
        if self.noticed:
            await story.stage.let_time_pass()


@dataclass(frozen=True)
class Expire(Step):
    """Somebody saw that a user's time may be over."""

    user: int

    async def take(self, story: Story) -> None:
        """See `Step`."""
        await story.stage.ask(self.user, ExpireAccess(operation_id=f"expire:{self.user}"))


@dataclass(frozen=True)
class NodeFault(Step):
    """The next changes meet these fates."""

    node: str
    fates: tuple[Fate, ...]

    async def take(self, story: Story) -> None:
        """See `Step`."""
        story.stage.nodes[self.node].fates.extend(self.fates)


@dataclass(frozen=True)
class NodeIs(Step):
    """A node goes away, comes back, is rebuilt; or what was on the wire arrives."""

    node: str
    what: str

    async def take(self, story: Story) -> None:
        """See `Step`."""
        node = story.stage.nodes[self.node]
        {
            "away": node.refuse_connections,
            "back": node.accept_connections,
            "wiped": node.wipe,
            "late": node.deliver,
            "answering": node.let_go,
        }[self.what]()
        await story.stage.wake(f"provisioner/{self.node}")


@dataclass(frozen=True)
class ProviderFault(Step):
    """The next refunds meet this."""

    troubles: tuple[Trouble, ...]

    async def take(self, story: Story) -> None:
        """See `Step`."""
        story.stage.gateways["stars"].troubles.extend(self.troubles)


@dataclass(frozen=True)
class Rounds(Step):
    """The actors' own time passes."""

    polled: bool = False

    async def take(self, story: Story) -> None:
        """See `Step`."""
        if self.polled:
            story.stage.life.poll()
        await story.stage.let_time_pass()


@dataclass(frozen=True)
class Deaf(Step):
    """Wakes of the nodes' actors are lost for a while, or heard again."""

    deaf: bool

    async def take(self, story: Story) -> None:
        """See `Step`."""
        story.stage.life.deaf = self.deaf


@dataclass(frozen=True)
class Crash(Step):
    """The back-end will die at a point; one that `haunts` was only thought dead, and goes on."""

    side: Side
    number: int
    haunts: bool = False

    async def take(self, story: Story) -> None:
        """See `Step`."""
        story.stage.arm(self.side, self.number, haunts=self.haunts)


@dataclass(frozen=True)
class Ghosts(Step):
    """Lives that were taken for dead go on."""

    async def take(self, story: Story) -> None:
        """See `Step`."""
        await story.stage.lay_ghosts()


@dataclass(frozen=True)
class Amid(Step):
    """Access is being made; the node's answer is recorded in the middle of another step."""

    user: int
    plan: str
    point: int
    step: Step

    async def take(self, story: Story) -> None:
        """See `Step`."""
        for node in story.stage.nodes.values():
            node.fates.append(Fate.HELD)
        await Buy(self.user, self.plan).take(story)
        story.stage.amid(self.point)
        await self.step.take(story)
        for node in story.stage.nodes.values():
            node.fates.clear()
            node.let_go()


_users = st.sampled_from([101, 101, 101, 101, 102, 102, 103])
_plans = st.sampled_from(["month", "month", "week", "pro"])
_recent = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
_nodes = st.sampled_from(["node-1", "node-1", "node-1", "node-2"])
_how = st.sampled_from(
    ["exact"] * 5 + ["over", "under", "currency", "foreign", "unknown", "nothing"]
)
_fates = st.lists(st.sampled_from(Fate), min_size=1, max_size=2).map(tuple)
_troubles = st.lists(st.sampled_from(Trouble), min_size=1, max_size=2).map(tuple)
_lapses = st.sampled_from([30.0, 3_700.0, 86_500.0, 8.0 * DAY_S, 31.0 * DAY_S, 31.0 * DAY_S])

#: How often each kind of step comes, beside the others.
KINDS: list[tuple[int, st.SearchStrategy[Step]]] = [
    (8, st.builds(Buy, _users, _plans)),
    (6, st.builds(Order, _users, _plans, st.sampled_from(list(TERMS)), st.integers(1, 2))),
    (7, st.builds(Pay, _recent, _how, st.sampled_from([1, 1, 1, 2, 0]))),
    (3, st.builds(PushAgain, _recent)),
    (4, st.builds(Cancel, _recent)),
    (2, st.builds(Claim, _recent)),
    (
        3,
        st.builds(Decide, _recent, st.booleans(), st.integers(1, 2), st.none() | st.booleans()),
    ),
    (2, st.builds(Try, _users)),
    (
        2,
        st.builds(
            Grant,
            _users,
            st.sampled_from([None, "month", "pro"]),
            st.sampled_from([1, 10, 100]),
            st.integers(1, 2),
        ),
    ),
    (6, st.builds(Stand, _users, st.sampled_from(Standing))),
    (5, st.builds(NewLink, _users, st.booleans())),
    (5, st.builds(Refund, _recent, st.booleans(), st.integers(1, 2))),
    (2, st.builds(ByHand, _recent)),
    (2, st.builds(SentBack, _recent, st.booleans())),
    (6, st.builds(Lapse, _lapses, st.booleans())),
    (3, st.builds(Expire, _users)),
    (6, st.builds(NodeFault, _nodes, _fates)),
    (
        5,
        st.builds(NodeIs, _nodes, st.sampled_from(["away", "back", "wiped", "late", "answering"])),
    ),
    (2, st.builds(ProviderFault, _troubles)),
    (5, st.builds(Rounds, st.booleans())),
    (1, st.builds(Deaf, st.booleans())),
    (
        8,
        st.builds(
            Crash,
            st.sampled_from(Side),
            st.integers(1, 7),
            st.booleans(),
        ),
    ),
    (2, st.builds(Ghosts)),
]
_changes: st.SearchStrategy[Step] = st.one_of(
    st.builds(Pay, _recent),
    st.builds(Refund, _recent, st.booleans()),
    st.builds(Stand, _users, st.sampled_from(Standing)),
    st.builds(NewLink, _users, st.booleans()),
    st.builds(Grant, _users, st.sampled_from([None, "pro"]), st.just(10)),
    st.builds(Buy, _users, _plans),
)
KINDS.append((6, st.builds(Amid, _users, _plans, st.integers(1, 12), _changes)))
_bag = [kind for weight, kind in KINDS for _ in range(weight)]

STEPS = st.lists(
    st.integers(0, len(_bag) - 1).flatmap(lambda number: _bag[number]), min_size=6, max_size=24
)
