"""Pure: what money buys, when it is kept aside, and what goes when it goes back.

The written policy for money that does not fit:

- late (the order was closed): credited, if the plan is still sold so; else it goes back;
- more than the price: credited, and the owners hear of it;
- the second payment of one order: credited as an extension, and the owners hear of it;
- too little, another currency, another payer, no order: kept aside until an owner decides, and
  given back after a day;
- from somebody who is banned or suspended, or further ahead than the plan reaches: given back.
"""

from dataclasses import dataclass, replace

from actors.user.decisions.catalogue import Catalogue, Fresh
from actors.user.decisions.keys import choose_node, let_in, move, shut_out
from actors.user.decisions.paid_time import bound_of, grown, kind_of, shortened, step, worth_s
from actors.user.decisions.standing import may_buy
from actors.user.messages import (
    CreditHeld,
    NoSuchPayment,
    NotHeld,
    RefundedBefore,
    RefundPayment,
    TooMuch,
)
from config.money import in_words
from config.providers import AmountMatch, match_amount
from storage.rows import (
    AccessChange,
    ActDraft,
    AlertDraft,
    Credit,
    Disposition,
    Hold,
    LedgerEntry,
    LedgerStep,
    NewsDraft,
    PaymentFlags,
    PaymentRow,
    PurchaseRow,
    PurchaseStatus,
    Refund,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    Wish,
)

NO_ORDER = "no such order"
#: Orders in these states expect no money any more.
CLOSED = frozenset({PurchaseStatus.CANCELLED, PurchaseStatus.EXPIRED, PurchaseStatus.REJECTED})
#: Orders in these states had their money.
PAID = frozenset({PurchaseStatus.PAID, PurchaseStatus.REFUND_PENDING, PurchaseStatus.REFUNDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """Why money is not credited, and whether it goes back by itself."""

    reason: str
    refund: bool = False


def decide_credit(
    record: UserRecord,
    payment: PaymentRow,
    purchase: PurchaseRow | None,
    catalogue: Catalogue,
    fresh: Fresh,
) -> Credit | Hold:
    """What a charge buys: time, or nothing until an owner has looked.

    Args:
        record: the payer's rows.
        payment: the charge, as recorded.
        purchase: the order that it names, if there is one.
        catalogue: what is sold, and how; at least one node.
        fresh: ids, if the user has none yet. They open the door: they name nothing else.
    """
    verdict = _why_held(record, payment, purchase, catalogue)
    if verdict is not None or purchase is None:
        return _hold(payment, purchase, verdict or _Verdict(reason=NO_ORDER), catalogue)
    credit = _credit(record, payment, purchase, catalogue, fresh)
    if not isinstance(credit, TooMuch):
        return credit
    reason = f"it would break the bound {credit.bound} of {credit.limit_s} s"
    return _hold(payment, purchase, _Verdict(reason=reason, refund=True), catalogue, credit)


def decide_credit_held(
    record: UserRecord,
    payment: PaymentRow,
    purchase: PurchaseRow | None,
    catalogue: Catalogue,
    fresh: Fresh,
    message: CreditHeld,
) -> Credit | NotHeld | TooMuch:
    """What held money buys by an owner's word: all that was ordered, whatever was paid for it."""
    own = purchase is not None and purchase.user_id == payment.user_id
    if payment.disposition is not Disposition.MISMATCH or not own or not may_buy(record):
        return NotHeld()
    assert purchase is not None  # noqa: S101 - own
    credit = _credit(record, payment, purchase, catalogue, fresh)
    if isinstance(credit, TooMuch):
        return credit
    act = ActDraft(
        operation_id=message.operation_id,
        actor=message.who,
        action="credit_held",
        target=str(payment.user_id),
        reason=message.reason,
        details={"payment": payment.number},
    )
    return replace(credit, change=replace(credit.change, act=act))


def decide_refund(
    record: UserRecord,
    payment: PaymentRow | None,
    purchase: PurchaseRow | None,
    catalogue: Catalogue,
    *,
    reason: str,
    actor: str,
    act: ActDraft | None = None,
    done: bool = False,
) -> Refund | RefundedBefore | NoSuchPayment:
    """What goes when money goes back.

    Args:
        record: the payer's rows.
        payment: the charge, None for an unknown one.
        purchase: its order, if there is one.
        catalogue: what is sold, to tell what time of one tier is in another.
        reason: why, for the ledger.
        actor: who wanted it.
        act: of an owner.
        done: the provider gave it back already.
    """
    if payment is None or payment.user_id != _user_id(record):
        return NoSuchPayment()
    match payment.disposition:
        case Disposition.RECEIVED:
            return NoSuchPayment()
        case Disposition.REFUND_PENDING | Disposition.REFUNDED:
            return RefundedBefore(done=payment.disposition is Disposition.REFUNDED)
        case Disposition.MISMATCH:
            change = None
        case Disposition.CREDITED:
            change = _taken_back(record, payment, purchase, catalogue, reason, actor)
    return Refund(payment=payment, reason=reason, change=change, act=act, done=done)


def act_of_refund(message: RefundPayment, payment: PaymentRow) -> ActDraft:
    """The record of an owner's wish to give money back."""
    return ActDraft(
        operation_id=message.operation_id,
        actor=message.who,
        action="refund",
        target=str(payment.user_id),
        reason=message.reason,
        details={
            "payment": payment.number,
            "amount": payment.amount,
            "currency": payment.currency,
            "provider": payment.provider,
        },
    )


def _credit(
    record: UserRecord,
    payment: PaymentRow,
    purchase: PurchaseRow,
    catalogue: Catalogue,
    fresh: Fresh,
) -> Credit | TooMuch:
    plan = catalogue.plans.get(purchase.plan_id)
    kind = kind_of(record, plan, catalogue)
    steps = grown(
        record,
        catalogue,
        _bought(payment, purchase),
        user_id=purchase.user_id,
        plan_id=purchase.plan_id,
        fresh=fresh,
    )
    after = steps[-1].after
    gained_s = sum(step.entry.delta_s for step in steps)
    too_much = bound_of(after, record, plan, catalogue.plans.limits, gained_s)
    if too_much is not None:
        return too_much
    flags = _flags(record, payment, purchase, catalogue)
    return Credit(
        payment=payment,
        purchase=purchase,
        kind=kind,
        flags=flags,
        change=AccessChange(
            user_id=payment.user_id,
            before=record.subscription,
            steps=steps,
            wishes=_wishes(record, purchase, after, catalogue, fresh),
            alerts=_odd(payment, flags, catalogue),
        ),
    )


def _bought(payment: PaymentRow, purchase: PurchaseRow) -> LedgerEntry:
    return LedgerEntry(
        delta_s=purchase.period_s,
        source_kind="payment",
        source_id=f"{payment.provider}:{payment.provider_payment_id}",
        reason=f"plan {purchase.plan_id}",
        actor=_actor(payment),
    )


def _wishes(
    record: UserRecord,
    purchase: PurchaseRow,
    after: SubscriptionRow,
    catalogue: Catalogue,
    fresh: Fresh,
) -> tuple[Wish, ...]:
    plan = catalogue.plans.get(purchase.plan_id)
    moved = move(record, plan, catalogue, fresh.uuid)
    if moved or after.status is SubscriptionStatus.ACTIVE:
        return moved
    # An order may be older than the settings, and than how the nodes stand.
    node_id, place = purchase.node_id, catalogue.place(purchase.node_id)
    if node_id not in catalogue.nodes_of(plan) or not (place.welcomes and place.answers):
        node_id = choose_node(record, plan, catalogue) or catalogue.some_of(plan)
    return let_in(record, node_id, catalogue, fresh.uuid)


def _why_held(  # noqa: PLR0911 - one for each reason
    record: UserRecord, payment: PaymentRow, purchase: PurchaseRow | None, catalogue: Catalogue
) -> _Verdict | None:
    if purchase is None:
        return _Verdict(reason=NO_ORDER)
    if purchase.user_id != payment.user_id:
        return _Verdict(reason="the order is another user's")
    matched = match_of(payment, purchase, catalogue)
    if matched is AmountMatch.OTHER_CURRENCY:
        return _Verdict(reason=f"paid in {payment.currency}, ordered in {purchase.currency}")
    if not matched.enough:
        paid = in_words(payment.amount, payment.currency)
        price = in_words(purchase.price, purchase.currency)
        return _Verdict(reason=f"paid {paid}, ordered for {price}")
    if not may_buy(record):
        return _Verdict(reason="the user is banned or suspended", refund=True)
    if _late(record, purchase) and not _still_sold(purchase, catalogue):
        return _Verdict(reason="late, and not sold at that price any more", refund=True)
    return None


def match_of(payment: PaymentRow, purchase: PurchaseRow, catalogue: Catalogue) -> AmountMatch:
    """What was paid beside what was asked, by the provider's terms."""
    return match_amount(
        catalogue.terms.get(payment.provider),
        price=purchase.price,
        currency=purchase.currency,
        paid=payment.amount,
        paid_in=payment.currency,
    )


def _late(record: UserRecord, purchase: PurchaseRow) -> bool:
    if purchase.status in PAID:
        return False
    return purchase.status in CLOSED or purchase.invoice_expires_at <= record.now


def _still_sold(purchase: PurchaseRow, catalogue: Catalogue) -> bool:
    plan = catalogue.plans.get(purchase.plan_id)
    return (
        plan is not None
        and plan.period_s == purchase.period_s
        and plan.price_in(purchase.currency) == purchase.price
    )


def _flags(
    record: UserRecord, payment: PaymentRow, purchase: PurchaseRow, catalogue: Catalogue
) -> PaymentFlags:
    return PaymentFlags(
        late=_late(record, purchase),
        over=match_of(payment, purchase, catalogue) is AmountMatch.OVER,
        duplicate_invoice=purchase.status in PAID,
    )


def _odd(payment: PaymentRow, flags: PaymentFlags, catalogue: Catalogue) -> tuple[AlertDraft, ...]:
    """Late money is usual; twice or too much is somebody's mistake, and an owner may give back."""
    flag = "duplicate" if flags.duplicate_invoice else "over" if flags.over else None
    if flag is None:
        return ()
    arguments: dict[str, str | int] = {
        "number": payment.number,
        "user_id": payment.user_id,
        "flag": flag,
    }
    return catalogue.alerts(f"payment-odd:{payment.number}", "alert-payment-odd", arguments)


def _hold(
    payment: PaymentRow,
    purchase: PurchaseRow | None,
    verdict: _Verdict,
    catalogue: Catalogue,
    too_much: TooMuch | None = None,
) -> Hold:
    alerts: tuple[AlertDraft, ...] = ()
    if too_much is not None:
        alerts = run_away(payment.user_id, too_much, catalogue, f"payment:{payment.number}")
    elif not verdict.refund:
        arguments: dict[str, str | int] = {
            "number": payment.number,
            "user_id": payment.user_id,
            "amount": payment.amount,
            "currency": payment.currency,
            "provider": payment.provider,
            "reason": verdict.reason,
        }
        key = f"payment-held:{payment.number}"
        alerts = catalogue.alerts(key, "alert-payment-held", arguments)
    return Hold(
        payment=payment,
        purchase=purchase if purchase and purchase.user_id == payment.user_id else None,
        reason=verdict.reason,
        refund=verdict.refund,
        alerts=alerts,
    )


def run_away(
    user_id: int, too_much: TooMuch, catalogue: Catalogue, key: str
) -> tuple[AlertDraft, ...]:
    """Somebody, or a mistake of ours, is giving too much away."""
    arguments: dict[str, str | int] = {
        "user_id": user_id,
        "bound": str(too_much.bound),
        "limit_s": too_much.limit_s,
    }
    return catalogue.alerts(f"run-away:{key}", "alert-run-away", arguments)


def _taken_back(
    record: UserRecord,
    payment: PaymentRow,
    purchase: PurchaseRow | None,
    catalogue: Catalogue,
    reason: str,
    actor: str,
) -> AccessChange | None:
    """The unused part of what the money bought goes; nothing is left: so does the key."""
    before = record.subscription
    if before is None or purchase is None:
        return None
    steps = _shrunk(record, before, payment, purchase, catalogue, reason, actor)
    over = steps[-1].after.status is SubscriptionStatus.EXPIRED
    return AccessChange(
        user_id=payment.user_id,
        before=before,
        steps=steps,
        wishes=shut_out(record) if over else (),
        news=_news_of_end(payment, before) if over else (),
    )


def _shrunk(
    record: UserRecord,
    before: SubscriptionRow,
    payment: PaymentRow,
    purchase: PurchaseRow,
    catalogue: Catalogue,
    reason: str,
    actor: str,
) -> tuple[LedgerStep, ...]:
    """A refund's own row takes no more than was bought; what a change of tier added follows it."""
    source_id = f"{payment.provider}:{payment.provider_payment_id}"
    worth = _worth_now(before, purchase, catalogue)
    after, taken = shortened(before, record, min(worth, purchase.period_s))
    steps = (step(after, -taken, ("refund", source_id), reason, actor),)
    if worth <= purchase.period_s or after.status is SubscriptionStatus.EXPIRED:
        return steps
    rest, more = shortened(after, record, worth - purchase.period_s)
    told = f"what time of {purchase.plan_id} had become as time of {before.plan_id}"
    return (*steps, step(rest, -more, ("change", f"refund:{source_id}"), told, actor))


def _worth_now(before: SubscriptionRow, purchase: PurchaseRow, catalogue: Catalogue) -> int:
    """What was bought, in time of the plan that the user has now, seconds."""
    old, new = catalogue.plans.get(purchase.plan_id), catalogue.plans.get(before.plan_id)
    if old is None or new is None or old.tier == new.tier:
        return purchase.period_s
    return worth_s(purchase.period_s, old, new)


def _news_of_end(payment: PaymentRow, before: SubscriptionRow) -> tuple[NewsDraft, ...]:
    if before.status is SubscriptionStatus.EXPIRED:
        return ()
    return (
        NewsDraft(
            dedupe_key=f"expired:{before.id}:{before.version + 1}",
            user_id=payment.user_id,
            text_id="news-expired",
            arguments={},
        ),
    )


def _actor(payment: PaymentRow) -> str:
    return f"user/{payment.user_id}"


def _user_id(record: UserRecord) -> int | None:
    return record.user.tg_id if record.user else None
