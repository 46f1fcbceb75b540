"""Pure: what a node's refusal or silence means for the wish that was sent, and its mark for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from actors.provisioner.breaker import Verdict
from config.events import LegacyEvent
from storage.rows import ComparisonBasis, CredentialRow, Desired, Origin
from xray_api.client.errors import (
    EpochChanged,
    Fault,
    NodeBusy,
    NodeCallError,
    NodeUnavailable,
    StaleGeneration,
)
from xray_api.contract import WriterMark

#: The first attempts come quickly, because somebody paid and waits; later ones spare the node.
INTERACTIVE_ATTEMPTS = 3
INTERACTIVE_CAP_S = 2.0
#: Far above any cap; after some thousand attempts a float would overflow.
MOST_DOUBLINGS = 64
#: A certificate or a key is mended by a person: asking often helps nobody.
TLS_WAIT_S = 30.0
AUTH_WAIT_S = 60.0
LONGEST_RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """How quickly an unanswered wish is repeated; seconds."""

    base_s: float
    cap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The same uuid and generation again, after a while."""

    after_s: float
    error_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaken:
    """A newer wish was sent meanwhile; it goes its own way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKnowsMore:
    """The node saw a generation that the database never made: one of them was restored.

    Asked again at the slowest pace, and an alarm: no answer may be guessed here.
    """

    node_gen: int
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnEpoch:
    """The node has another store than we knew."""

    epoch: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """The node will never take this wish: a bug of ours, for a person to look at."""

    error_class: str


#: What a class of failure says of the node. One wish that is wrong says nothing of it.
VERDICTS: Mapping[Fault, Verdict] = {
    Fault.INFRA: Verdict.FAILURE,
    Fault.PROTOCOL: Verdict.FAILURE,
    Fault.TLS: Verdict.TLS,
    Fault.THROTTLE: Verdict.THROTTLED,
    Fault.AUTH: Verdict.NEUTRAL,
    Fault.BUG: Verdict.NEUTRAL,
    Fault.STALE: Verdict.SUCCESS,
    Fault.EPOCH: Verdict.SUCCESS,
}

Failure = Retry | Overtaken | NodeKnowsMore | LearnEpoch | SetAside


def decide_failure(
    error: NodeCallError,
    *,
    sent_gen: int,
    current_gen: int,
    attempts: int,
    limits: RetryLimits,
    jitter: float,
) -> Failure:
    """What to do about a failed call.

    Args:
        error: how the call failed.
        sent_gen: the generation that was sent.
        current_gen: the generation that the database has now.
        attempts: calls made for this wish, this one included.
        limits: how quickly to repeat.
        jitter: a random number in [0, 1).
    """
    if isinstance(error, EpochChanged):
        return LearnEpoch(epoch=error.epoch)
    if isinstance(error, StaleGeneration):
        if current_gen > sent_gen:
            return Overtaken()
        return NodeKnowsMore(node_gen=error.node_gen, after_s=limits.cap_s)
    if error.fault is Fault.BUG:
        return SetAside(error_class=error.fault)
    return Retry(after_s=_wait(error, attempts, limits, jitter), error_class=error.fault)


def verdict_of(error: NodeCallError) -> Verdict:
    """What a failed call says of its node."""
    return VERDICTS[error.fault]


def choose(
    adds: Sequence[CredentialRow], removals: Sequence[CredentialRow], free: int
) -> list[CredentialRow]:
    """Which of the wishes that are due go first, of so many at a time.

    Wishes of single people go before those that were made in bulk; among equals half of the
    places are kept for adds, because somebody paid and waits.

    Args:
        adds: wishes to let somebody in, those of single people first, then longest waiting first.
        removals: wishes to shut somebody out, in the same order.
        free: how many may go.
    """
    chosen: list[CredentialRow] = []
    for bulk in (False, True):
        coming = [row for row in adds if row.bulk is bulk]
        going = [row for row in removals if row.bulk is bulk]
        left = free - len(chosen)
        kept_for_adds = min(len(coming), (left + 1) // 2)
        first = going[: left - kept_for_adds]
        chosen += [*first, *coming[: left - len(first)]]
    return chosen


def decide_consequence(row: CredentialRow, attempts: int, decision: Failure) -> LegacyEvent | None:
    """What a failed call means to who watches the log; None where it means nothing yet.

    A wish to open access is taken for paid: the rows of a grant or a trial look the same here.
    """
    if isinstance(decision, Overtaken):
        return None
    if row.desired is Desired.ABSENT:
        return (
            LegacyEvent.ORPHAN_CLEANUP_FAILED
            if isinstance(decision, SetAside)
            else LegacyEvent.ORPHAN_CLEANUP_RETRY
        )
    opens = row.origin is Origin.ACCESS and row.applied_gen == 0
    if opens and attempts == 1 and not isinstance(decision, LearnEpoch):
        return LegacyEvent.XRAY_SYNC_FAILED_BUT_PAYMENT_OK
    return None


def sign_of_restore(basis: ComparisonBasis, mark: WriterMark | None, our_seq: int) -> str:
    """Why the database may not be the one that wrote to this node, in words; empty if it may."""
    if mark is None or basis.accepted_writer == mark_text(mark):
        return ""
    if mark.db_id != str(basis.database_id):
        return "another database wrote to it"
    if mark.seq > our_seq:
        return "it has seen writing that this database does not know; was a backup restored?"
    return ""


def mark_text(mark: WriterMark | None) -> str:
    """A mark as it is kept when an operator accepts it."""
    return "none" if mark is None else f"{mark.db_id};{mark.seq}"


def went_back(basis: ComparisonBasis, mark: WriterMark | None) -> bool:
    """Whether the node has forgotten writing that it acknowledged: an old image was restored."""
    if basis.node.writer_seq == 0:
        return False
    if mark is None:
        return True
    return mark.db_id == str(basis.database_id) and mark.seq < basis.node.writer_seq


def _wait(error: NodeCallError, attempts: int, limits: RetryLimits, jitter: float) -> float:
    if error.fault is Fault.TLS:
        return TLS_WAIT_S * (1 + jitter)
    if error.fault is Fault.AUTH:
        return AUTH_WAIT_S
    asked = error.retry_after if isinstance(error, NodeBusy | NodeUnavailable) else None
    return max(jitter * _ceiling(attempts, limits), min(asked or 0.0, LONGEST_RETRY_AFTER_S))


def _ceiling(attempts: int, limits: RetryLimits) -> float:
    """Full jitter's upper end after this many attempts, seconds."""
    if attempts <= INTERACTIVE_ATTEMPTS:
        return min(INTERACTIVE_CAP_S, limits.base_s * 2.0**attempts)
    doublings = min(attempts - INTERACTIVE_ATTEMPTS, MOST_DOUBLINGS)
    return min(limits.cap_s, limits.base_s * 5 * 2.0**doublings)
