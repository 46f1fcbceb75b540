"""What each refusal or silence of a node means for the wish that was sent."""

from itertools import pairwise
from uuid import UUID

import pytest

from actors.provisioner.decisions import (
    AUTH_WAIT_S,
    LONGEST_RETRY_AFTER_S,
    TLS_WAIT_S,
    Failure,
    LearnEpoch,
    NodeKnowsMore,
    Overtaken,
    Retry,
    RetryLimits,
    SetAside,
    decide_consequence,
    decide_failure,
)
from config.events import LegacyEvent
from storage.rows import CredentialRow, Desired, Origin
from tests.unit.actors.rows import FIRST, NOW, SUBSCRIPTION_ID
from xray_api.client.errors import (
    DigestChanged,
    EpochChanged,
    NodeBusy,
    NodeCallError,
    NodeProtocolError,
    NodeRedirects,
    NodeRejected,
    NodeTlsError,
    NodeUnauthorized,
    NodeUnavailable,
    NodeUnreachable,
    OutcomeUnknown,
    ShrinkRefused,
    StaleGeneration,
    WrongUserAnswered,
)

LIMITS = RetryLimits(base_s=0.2, cap_s=60.0)
EPOCH = UUID("00000000-0000-4000-8000-0000000000ee")
#: The largest random number below 1, near enough.
TOP = 1.0


def failed(
    error: NodeCallError,
    *,
    attempts: int = 1,
    jitter: float = TOP,
    sent_gen: int = 3,
    current_gen: int = 3,
) -> Failure:
    return decide_failure(
        error,
        sent_gen=sent_gen,
        current_gen=current_gen,
        attempts=attempts,
        limits=LIMITS,
        jitter=jitter,
    )


RETRIED = [
    (NodeUnreachable("refused"), "infra"),
    (OutcomeUnknown("timeout"), "infra"),
    (NodeUnavailable("status 503"), "infra"),
    (NodeBusy("status 429"), "throttle"),
    (NodeTlsError("certificate"), "tls"),
    (NodeUnauthorized("status 401"), "auth"),
    (NodeProtocolError("not JSON"), "protocol"),
    (WrongUserAnswered("another uuid"), "protocol"),
    (NodeRedirects("status 302"), "protocol"),
]


@pytest.mark.parametrize(
    ("error", "error_class"), RETRIED, ids=[type(error).__name__ for error, _ in RETRIED]
)
def test_the_same_wish_goes_again(error: NodeCallError, error_class: str) -> None:
    decision = failed(error)

    assert isinstance(decision, Retry)
    assert decision.error_class == error_class


def test_every_class_of_failure_is_decided_here() -> None:
    """A class that is added to the port must be added to this table."""

    def leaves(kind: type[NodeCallError]) -> set[type[NodeCallError]]:
        below = {leaf for child in kind.__subclasses__() for leaf in leaves(child)}
        return (
            below
            if kind.__name__.startswith("_") or not hasattr(kind, "fault")
            else {
                kind,
                *below,
            }
        )

    listed = {type(error) for error, _ in RETRIED} | {StaleGeneration, EpochChanged, NodeRejected}
    of_snapshots = {ShrinkRefused, DigestChanged}  # one user's wish never meets them

    assert leaves(NodeCallError) == listed | of_snapshots


def test_a_newer_wish_that_overtook_this_one_goes_its_own_way() -> None:
    assert failed(StaleGeneration(4), sent_gen=3, current_gen=4) == Overtaken()


def test_a_node_that_knows_more_than_the_database_is_asked_at_the_slowest_pace() -> None:
    decision = failed(StaleGeneration(9), sent_gen=3, current_gen=3, jitter=0.0)

    assert decision == NodeKnowsMore(node_gen=9, after_s=60.0)


def test_the_opposite_wish_under_the_same_generation_is_no_race() -> None:
    assert failed(StaleGeneration(3)) == NodeKnowsMore(node_gen=3, after_s=60.0)


def test_another_epoch_is_learned() -> None:
    assert failed(EpochChanged(EPOCH)) == LearnEpoch(epoch=EPOCH)


def test_another_epoch_is_learned_even_by_an_overtaken_wish() -> None:
    assert failed(EpochChanged(EPOCH), current_gen=9) == LearnEpoch(epoch=EPOCH)


def test_a_request_that_the_node_finds_wrong_is_set_aside() -> None:
    assert failed(NodeRejected(422, "uuid")) == SetAside(error_class="bug")


def wait(error: NodeCallError, *, attempts: int = 1, jitter: float = TOP) -> float:
    decision = failed(error, attempts=attempts, jitter=jitter)
    assert isinstance(decision, Retry)
    return decision.after_s


@pytest.mark.parametrize(
    ("attempts", "ceiling_s"),
    [(1, 0.4), (2, 0.8), (3, 1.6), (4, 2.0), (5, 4.0), (8, 32.0), (9, 60.0), (100, 60.0)],
)
def test_the_wait_grows_to_its_cap(attempts: int, ceiling_s: float) -> None:
    assert wait(NodeUnreachable(), attempts=attempts) == pytest.approx(ceiling_s)


def test_the_wait_is_anything_below_its_ceiling() -> None:
    """Full jitter: callers that failed together do not come back together."""
    assert wait(NodeUnreachable(), attempts=9, jitter=0.0) == 0.0
    assert wait(NodeUnreachable(), attempts=9, jitter=0.25) == 15.0


def test_a_node_that_is_away_for_days_is_still_asked() -> None:
    """Unlimited retries: no number of attempts may break the arithmetic."""
    assert wait(NodeUnreachable(), attempts=1_000_000) == 60.0


def test_ceilings_never_shrink() -> None:
    ceilings = [wait(NodeUnreachable(), attempts=attempts) for attempts in range(1, 40)]

    assert all(earlier <= later for earlier, later in pairwise(ceilings))


def test_someone_who_waits_is_not_kept_longer_than_the_interactive_cap() -> None:
    slow = RetryLimits(base_s=5.0, cap_s=60.0)
    decision = decide_failure(
        NodeUnreachable(), sent_gen=1, current_gen=1, attempts=3, limits=slow, jitter=TOP
    )

    assert isinstance(decision, Retry)
    assert decision.after_s == 2.0


@pytest.mark.parametrize("kind", [NodeBusy, NodeUnavailable])
def test_the_node_s_own_wait_is_kept(kind: type[NodeBusy | NodeUnavailable]) -> None:
    assert wait(kind("later", retry_after=20.0), jitter=0.0) == 20.0


@pytest.mark.parametrize("kind", [NodeBusy, NodeUnavailable])
def test_a_node_cannot_ask_for_an_endless_wait(kind: type[NodeBusy | NodeUnavailable]) -> None:
    assert wait(kind("later", retry_after=9_999.0), jitter=0.0) == LONGEST_RETRY_AFTER_S


def test_the_node_s_wait_is_the_least_and_not_the_most() -> None:
    assert wait(NodeBusy("later", retry_after=1.0), attempts=9, jitter=0.5) == 30.0


def test_a_bad_certificate_is_looked_at_again_within_a_minute() -> None:
    assert wait(NodeTlsError(), jitter=0.0) == TLS_WAIT_S
    assert wait(NodeTlsError(), jitter=TOP) == 2 * TLS_WAIT_S


def test_a_refused_key_is_tried_once_a_minute() -> None:
    assert wait(NodeUnauthorized(), jitter=0.5) == AUTH_WAIT_S


def wish(
    desired: Desired, *, applied_gen: int = 0, origin: Origin = Origin.ACCESS
) -> CredentialRow:
    return CredentialRow(
        uuid=FIRST,
        subscription_id=SUBSCRIPTION_ID,
        node_id="node-1",
        desired=desired,
        gen=3,
        applied_gen=applied_gen,
        first_applied_at=None,
        replaces=None,
        link_enc=None,
        attempts=1,
        last_class=None,
        quarantined=False,
        created_at=NOW,
        origin=origin,
    )


AGAIN, ASIDE = Retry(after_s=1.0, error_class="x"), SetAside(error_class="bug")
OPEN, OUT = wish(Desired.PRESENT), wish(Desired.ABSENT, applied_gen=2)


@pytest.mark.parametrize(
    ("row", "attempts", "decision", "event"),
    [
        (OUT, 1, AGAIN, LegacyEvent.ORPHAN_CLEANUP_RETRY),
        (OUT, 9, LearnEpoch(epoch=EPOCH), LegacyEvent.ORPHAN_CLEANUP_RETRY),
        (OUT, 1, ASIDE, LegacyEvent.ORPHAN_CLEANUP_FAILED),
        (OUT, 1, Overtaken(), None),
        (OPEN, 1, AGAIN, LegacyEvent.XRAY_SYNC_FAILED_BUT_PAYMENT_OK),
        (OPEN, 1, ASIDE, LegacyEvent.XRAY_SYNC_FAILED_BUT_PAYMENT_OK),
        (OPEN, 2, AGAIN, None),
        (OPEN, 1, LearnEpoch(epoch=EPOCH), None),
        (wish(Desired.PRESENT, applied_gen=2), 1, AGAIN, None),
        (wish(Desired.PRESENT, origin=Origin.REISSUE), 1, AGAIN, None),
    ],
)
def test_a_failed_call_is_told_by_what_it_means(
    row: CredentialRow, attempts: int, decision: Failure, event: LegacyEvent | None
) -> None:
    assert decide_consequence(row, attempts, decision) is event
