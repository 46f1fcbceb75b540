"""What can go wrong in a call to a node, split by what the caller should do next.

No error carries a key, a link or a URL; their texts may be logged.
"""
# ruff: noqa: N818 - these names say what happened, which is what their readers match on

from enum import StrEnum
from typing import ClassVar
from uuid import UUID


class Fault(StrEnum):
    """The class of a failed call, as breakers and alerts count it."""

    INFRA = "infra"
    TLS = "tls"
    THROTTLE = "throttle"
    AUTH = "auth"
    STALE = "stale"
    EPOCH = "epoch"
    BUG = "bug"
    PROTOCOL = "protocol"


class NodeCallError(Exception):
    """A call to a node did not succeed.

    Attributes:
        fault: its class.
        retriable: whether the same call, unchanged, may succeed later.
        not_applied: whether this call surely changed nothing.
    """

    fault: ClassVar[Fault]
    retriable: ClassVar[bool]
    not_applied: ClassVar[bool] = True


class RetriableError(NodeCallError):
    """Weather: the same call again, later."""

    retriable = True


class FinalError(NodeCallError):
    """The same call will fail again until somebody changes something."""

    retriable = False


class NodeUnreachable(RetriableError):
    """No connection; the request was never sent."""

    fault = Fault.INFRA


class NodeTlsError(RetriableError):
    """The node's certificate is not accepted; the request was never sent."""

    fault = Fault.TLS


class OutcomeUnknown(RetriableError):
    """The request may have been applied: no answer came, or one that says nothing about it."""

    fault = Fault.INFRA
    not_applied = False


class _WaitingError(RetriableError):
    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        #: Seconds that the node asks to wait; None when it does not say.
        self.retry_after = retry_after


class NodeBusy(_WaitingError):
    """429: the node's queue is full; nothing changed."""

    fault = Fault.THROTTLE


class NodeUnavailable(_WaitingError):
    """503: the node cannot apply changes at present.

    It refused before the change, or stored it and could not apply it: either way, call again.
    """

    fault = Fault.INFRA
    not_applied = False


class NodeUnauthorized(FinalError):
    """401 or 403 for every key that we have."""

    fault = Fault.AUTH


class StaleGeneration(FinalError):
    """409: the node has seen this or a higher generation with another wish; nothing changed."""

    fault = Fault.STALE

    def __init__(self, node_gen: int) -> None:
        super().__init__(f"the node has seen generation {node_gen}")
        self.node_gen = node_gen


class ShrinkRefused(FinalError):
    """409: a snapshot would remove more users than the caller allows; nothing changed."""

    fault = Fault.STALE

    def __init__(self, would_remove: int) -> None:
        super().__init__(f"{would_remove} users would be removed")
        #: The number that `allow_shrink` must reach.
        self.would_remove = would_remove


class DigestChanged(FinalError):
    """409: the node's users are not those that the snapshot was made for; nothing changed."""

    fault = Fault.STALE

    def __init__(self, root: str) -> None:
        super().__init__(f"the node's digest is {root}")
        #: The node's digest, for the next snapshot.
        self.root = root


class EpochChanged(FinalError):
    """412: the node was wiped or rebuilt, or is another one; nothing changed."""

    fault = Fault.EPOCH

    def __init__(self, epoch: UUID) -> None:
        super().__init__(f"the node's epoch is {epoch}")
        #: The node's epoch, for the next call.
        self.epoch = epoch


class NodeRejected(FinalError):
    """The node understood the request and finds it wrong: a bug of ours."""

    fault = Fault.BUG

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"status {status}: {detail}")
        self.status = status
        self.detail = detail


class NodeProtocolError(RetriableError):
    """The answer is not what the contract allows: not JSON, too long, no valid link."""

    fault = Fault.PROTOCOL
    not_applied = False


class WrongUserAnswered(NodeProtocolError):
    """The answer is about another uuid. Never store it; a person must look."""


class NodeRedirects(FinalError):
    """3xx: something stands in front of the node; redirects are never followed."""

    fault = Fault.PROTOCOL
