"""Paid outside, in any way that the shop describes; an owner looks for the money and approves."""

from config.providers import RefundWay, Terms

PROVIDER = "manual"


def terms(currency: str) -> Terms:
    """What payment by hand promises.

    Nobody takes a fee that we know of, and an owner who approves decides what is enough: nothing is
    forgiven by itself. Three days, as transfers between banks take over a weekend: our own choice.
    """
    return Terms(
        provider=PROVIDER,
        currency=currency,
        refund=RefundWay.BY_HAND,
        lists_charges=False,
        open_for_s=3 * 24 * 3600,
    )
