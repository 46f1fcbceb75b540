"""What the expiry actor is asked for."""

from dataclasses import dataclass

from actors.runtime.messages import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustClocks(Request[bool]):
    """An operator has looked: it is that late. False: nothing was held."""

    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowExpiry(Request["ExpiryShown"]):
    """How the end of access stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryShown:
    """So many were ended since the start; `held` says why nothing ends, and is empty if it does.

    `off` are the switches of this actor that an operator has off.
    """

    ended: int
    reminded: int
    held: str
    off: tuple[str, ...] = ()
