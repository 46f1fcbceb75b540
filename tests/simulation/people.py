"""Random people and owners: who buys, pays, renews, loses links; who grants, bans, drains.

Everything they do goes in at the program's doors: updates of Telegram, and pushes of providers.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from tests.simulation.backend import NODES, OWNER, Company
from tests.simulation.door import Invoice
from tests.simulation.money import Taken
from tests.simulation.world import Simulated

FIRST_ID = 101
PLANS = ("week", "month", "quarter")
PROVIDERS = ("stars", "stars", "cryptopay", "cryptopay", "manual")
#: How a provider repeats a push that nobody took, seconds after the first.
PUSHED_AGAIN_S = (1.0, 10.0, 60.0, 600.0, 3_600.0)


class Town:
    """Some people, an owner, and what they have in their hands."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.world: Simulated = company.world
        self.people = [FIRST_ID + n for n in range(self.world.chance.randint(2, 5))]
        self.tasks: list[asyncio.Task[Any]] = []
        self._taps = 0
        self._paid: set[UUID] = set()
        #: Nodes that the owner took out of service.
        self.leaving: set[str] = set()
        #: Whom most of what happens is about, for a while.
        self._focus = self.people[0]
        company.outside.shown = self._sees_invoice

    def arrive(self) -> None:
        """They write for the first time; most of them get access in some way."""
        for user_id in self.people:
            self._ask(user_id, user_id, "Introduce", language="en")
            roll = self.world.chance.random()
            if roll < 0.35:
                self.buy(user_id)
            elif roll < 0.6:
                self._ask(OWNER, user_id, "GrantAccess", plan_id="week", period_s=None, **WHY)
            elif roll < 0.75:
                self.trial(user_id)

    def _sees_invoice(self, invoice: Invoice) -> None:
        if self.world.happens(0.6):
            self.world.later(self.world.chance.random() ** 2 * 4, lambda: self._pay(invoice))

    @property
    def busy(self) -> bool:
        """Whether somebody is in the middle of something."""
        return any(not task.done() for task in self.tasks)

    def act(self) -> None:
        """Somebody does something."""
        if self.world.happens(0.3):
            self._focus = self.world.chance.choice(self.people)
        acts: Mapping[Callable[[], None], int] = {
            self.buy: 8,
            self.pay: 8,
            self.reissue: 6,
            self.trial: 1,
            self.look: 1,
            self.give_up: 1,
            self.claim: 2,
            self.decide: 3,
            self.grant: 2,
            self.change_standing: 3,
            self.refund: 3,
            self.return_by_itself: 1,
            self.credit_held: 1,
            self.steer_node: 1,
            self.block: 1,
        }
        self.world.chance.choices(list(acts), list(acts.values()))[0]()

    # People

    def somebody(self) -> int:
        """One of them."""
        return self._focus if self.world.happens(0.6) else self.world.chance.choice(self.people)

    def buy(self, user_id: int | None = None) -> None:
        """Choose a plan and a way to pay; some tap twice."""
        self._taps += 1
        chance, user_id = self.world.chance, user_id or self.somebody()
        plan = chance.choices(PLANS, (6, 3, 1))[0]
        tap = {
            "do": "buy",
            "plan": plan,
            "provider": chance.choice(PROVIDERS),
            "tap": f"t{self._taps}",
        }
        self.world.tell(f"user {user_id}", f"wants {plan} by {tap['provider']}")
        for _ in range(2 if self.world.happens(0.1) else 1):
            self._say(user_id, **tap)

    def pay(self) -> None:
        """Pay an invoice, mostly one that was not paid."""
        chance = self.world.chance
        open_ones = [
            one for one in self.company.outside.invoices if one.purchase_id not in self._paid
        ]
        again = self.company.outside.invoices if self.world.happens(0.1) else []
        invoices = open_ones or again
        if not invoices:
            self.buy()
            return
        self._pay(chance.choice(invoices[-4:]))

    def _pay(self, invoice: Invoice) -> None:
        self._paid.add(invoice.purchase_id)
        match invoice.provider:
            case "stars":
                self._go(self._pay_by_stars(invoice))
                if self.world.happens(0.1):
                    self._go(self._pay_by_stars(invoice))
            case "cryptopay":
                self._pay_by_crypto(invoice)
            case _:
                self.claim(invoice)

    async def _pay_by_stars(self, invoice: Invoice) -> None:
        world, telegram = self.world, self.company.outside.telegram
        self._taps += 1
        world.tell(f"user {invoice.user_id}", f"pays order {named(invoice.purchase_id)} by Stars")
        question = {
            "from": {"id": invoice.user_id},
            "payload": invoice.payload,
            "currency": invoice.currency,
            "total": invoice.price,
        }
        if not await telegram.ask_before_charge(f"q{self._taps}", question):
            return
        till = self.company.tills["stars"]
        taken = till.take(invoice.user_id, invoice.purchase_id, invoice.price, invoice.currency)
        if world.happens(0.1):
            world.count("payment only listed")
            world.tell("telegram", f"{taken.number}: no update tells of it")
            return
        if world.happens(0.2):
            await asyncio.sleep(world.chance.random() ** 2 * 600)  # noqa: TID251
        telegram.push(
            {
                "message": {
                    "from": {"id": invoice.user_id},
                    "successful_payment": {
                        "number": taken.number,
                        "payload": invoice.payload,
                        "total": invoice.price,
                        "currency": invoice.currency,
                    },
                }
            }
        )

    def _pay_by_crypto(self, invoice: Invoice) -> None:
        world, till = self.world, self.company.tills["cryptopay"]
        amount = invoice.price
        if world.happens(0.1):
            amount = max(1, int(amount * world.chance.choice((0.5, 0.9, 1.5))))
            world.count("wrong amount")
        world.tell(f"user {invoice.user_id}", f"pays order {named(invoice.purchase_id)} by crypto")
        taken = till.take(invoice.user_id, invoice.purchase_id, amount, invoice.currency)
        if world.happens(0.15):
            world.count("payment only listed")
            world.tell("cryptopay", f"{taken.number}: no push tells of it")
        else:
            self._go(self._push(taken))
        if world.happens(0.15):
            world.count("push doubled")
            self._go(self._push(taken))

    async def _push(self, taken: Taken) -> None:
        world = self.world
        await asyncio.sleep(world.chance.random() ** 3 * (300 if world.happens(0.2) else 3))  # noqa: TID251
        for wait_s in PUSHED_AGAIN_S:
            if await self._pushed(taken) == 200:
                return
            world.count("push not taken")
            await asyncio.sleep(wait_s)  # noqa: TID251

    async def _pushed(self, taken: Taken) -> int:
        world, web = self.world, self.company.outside.web
        life = self.company.life
        await asyncio.sleep(0.001 + world.chance.random() * world.air.slowest_s)  # noqa: TID251
        if web is None or life.process.dead or world.happens(world.air.lost):
            return 0
        body = json.dumps({"number": taken.number})
        asked = world.loop.spawn(life.process, web.pushed("cryptopay", body, int(taken.number[1:])))
        await asyncio.wait([asked], timeout=20.0)
        if not asked.done() or asked.cancelled() or asked.exception() is not None:
            return 0
        status = asked.result()
        if status == 200:
            self.company.outside.telegram.confirmed(
                [{"source": "cryptopay", "update_id": int(taken.number[1:])}]
            )
        return 0 if world.happens(world.air.reply_lost) else status

    def reissue(self) -> None:
        """Want another link: the old one is lost, or leaked."""
        leaked = self.world.happens(0.5)
        user_id = self.somebody()
        self.world.tell(
            f"user {user_id}", f"wants a new link, the old one is {'leaked' if leaked else 'lost'}"
        )
        self._ask(user_id, user_id, "Reissue", leaked=leaked)

    def trial(self, user_id: int | None = None) -> None:
        """Try for nothing."""
        user_id = user_id or self.somebody()
        self._ask(user_id, user_id, "StartTrial", language="en")

    def look(self) -> None:
        """See the link, or write for the first time."""
        user_id = self.somebody()
        if self.world.happens(0.5):
            self._ask(user_id, user_id, "ShowLink")
        else:
            self._ask(user_id, user_id, "Introduce", language="en")

    def give_up(self) -> None:
        """Cancel an order; the money may come all the same."""
        invoices = self.company.outside.invoices
        if invoices:
            invoice = self.world.chance.choice(invoices)
            fields = {"purchase_id": {"uuid": str(invoice.purchase_id)}}
            self._ask(invoice.user_id, invoice.user_id, "CancelOrder", **fields)

    def claim(self, invoice: Invoice | None = None) -> None:
        """Say that an order was paid outside."""
        by_hand = [one for one in self.company.outside.invoices if one.provider == "manual"]
        if by_hand:
            invoice = invoice or self.world.chance.choice(by_hand)
            fields = {"purchase_id": {"uuid": str(invoice.purchase_id)}}
            self._ask(invoice.user_id, invoice.user_id, "ClaimPaid", **fields)

    def block(self) -> None:
        """Block the bot, or take it back."""
        blocked, user_id = self.company.outside.telegram.blocked, self.somebody()
        self.set_blocked(user_id, blocks=user_id not in blocked)

    def set_blocked(self, user_id: int, *, blocks: bool) -> None:
        """Telegram tells the bot of it."""
        telegram = self.company.outside.telegram
        (telegram.blocked.add if blocks else telegram.blocked.discard)(user_id)
        telegram.push({"message": {"from": {"id": user_id}, "blocks": blocks}})

    # The owner

    def decide(self) -> None:
        """Approve what was paid outside, or find no money."""
        claims = self.company.outside.claims
        if claims:
            order = self.world.chance.choice(claims)
            payer = next(i.user_id for i in self.company.outside.invoices if i.purchase_id == order)
            approve = self.world.happens(0.7)
            fields = {"purchase_id": {"uuid": str(order)}, "approve": approve, "who": "owner"}
            self._ask(OWNER, payer, "DecideManual", **fields)

    def grant(self) -> None:
        """Give time away."""
        chance = self.world.chance
        period_s = chance.choice((None, 3_600, 86_400))
        plan = chance.choice(PLANS)
        self._ask(OWNER, self.somebody(), "GrantAccess", plan_id=plan, period_s=period_s, **WHY)

    def change_standing(self) -> None:
        """Revoke, restore, ban, unban."""
        standing = self.world.chance.choice(
            ("revoke", "restore", "ban", "unban", "restore", "unban")
        )
        fields = {"standing": {"standing": standing}, **WHY}
        self._ask(OWNER, self.somebody(), "ChangeStanding", **fields)

    def refund(self) -> None:
        """Give money back."""
        taken = self._some_money()
        if taken is not None:
            fields = {"provider": taken.provider, "provider_payment_id": taken.number, **WHY}
            self._ask(OWNER, taken.charge.user_id, "RefundPayment", **fields)

    def credit_held(self) -> None:
        """Let held money count."""
        taken = self._some_money()
        if taken is not None:
            fields = {"provider": taken.provider, "provider_payment_id": taken.number, **WHY}
            self._ask(OWNER, taken.charge.user_id, "CreditHeld", **fields)

    def return_by_itself(self) -> None:
        """A provider gives money back, asked by nobody here."""
        taken = self._some_money()
        if taken is None or taken.returned or self.world.loop.time() - taken.at_s < 1:
            return
        self.company.tills[taken.provider].give(taken)
        if taken.provider == "stars":
            self.company.outside.telegram.push(
                {
                    "message": {
                        "from": {"id": taken.charge.user_id},
                        "refunded_payment": taken.number,
                    }
                }
            )

    def steer_node(self) -> None:
        """Drain or lose a node, or take it back."""
        chance = self.world.chance
        node_id = chance.choice(NODES)
        if self.leaving:
            node_id = min(self.leaving)
            self.leaving.discard(node_id)
            act = "activate"
        else:
            self.leaving.add(node_id)
            act = chance.choice(("drain", "lose"))
        self.world.tell("owner", f"{act} {node_id}")
        self._say(OWNER, do="node", act=act, node=node_id)

    def confirm(self, node_id: str, removals: int) -> None:
        """So many users of a frozen node have no right to be there."""
        self.company.sites[node_id].confirmed = True
        self.world.tell("owner", f"confirms {removals} removals from {node_id}")
        self._say(OWNER, do="node", act="confirm", node=node_id, removals=removals)

    def _some_money(self) -> Taken | None:
        taken = [one for till in self.company.tills.values() for one in till.taken.values()]
        return self.world.chance.choice(taken) if taken else None

    # How it goes in

    def _ask(self, sender: int, user_id: int, message: str, **fields: Any) -> None:
        self._say(sender, do="ask", user=user_id, message=message, fields=fields)

    def _say(self, user_id: int, **sim: Any) -> None:
        self.company.outside.telegram.say(user_id, **sim)

    def _go(self, work: Any) -> None:
        self.tasks.append(self.world.loop.spawn(None, work))


WHY = {"who": "owner", "reason": "for the story"}


def named(uuid: UUID) -> str:
    """A uuid in a story."""
    return str(uuid)[:8]
