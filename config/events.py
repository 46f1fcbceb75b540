"""Names of log events on which operators of the legacy bot alert; each means here what it says.

Fields: `node`, `uuid` (its first 8 characters), `user_id`, `attempts`, where the event has them.
Not here, because it cannot happen any more: `ACTIVATION_ORPHAN_PREVENTED` (a uuid is committed
before the node hears of it), and breakers of the reconciler's own.
"""

from enum import StrEnum


class LegacyEvent(StrEnum):
    """One name for each thing that happens; the docstring below a name tells who emits it."""

    ACTIVATION_PHASE1_UUID_CREATED = "ACTIVATION_PHASE1_UUID_CREATED"
    """A new uuid is wished for and committed; no node knows it yet. By UserActor."""

    ACTIVATION_PHASE2_DB_COMMIT = "ACTIVATION_PHASE2_DB_COMMIT"
    """The node lets the uuid in, and that is committed: paid time runs. By ProvisionerActor."""

    REISSUE_TWO_PHASE_ACTIVATION = "REISSUE_TWO_PHASE_ACTIVATION"
    """A new key takes another's place; the old one works until the new one does. By UserActor."""

    XRAY_CALL_START = "XRAY_CALL_START"
    """A node is asked to let a uuid in or to shut it out; counted first. By ProvisionerActor."""

    XRAY_CALL_SUCCESS = "XRAY_CALL_SUCCESS"
    """The node did it. By ProvisionerActor."""

    XRAY_CALL_FAILED = "XRAY_CALL_FAILED"
    """The node did not, or its answer was lost; `decision` is what follows. By ProvisionerActor."""

    ORPHAN_CLEANUP_ATTEMPT = "ORPHAN_CLEANUP_ATTEMPT"
    """A uuid has no right on its node any more: its removal is asked for. By ProvisionerActor."""

    ORPHAN_CLEANUP_RETRY = "ORPHAN_CLEANUP_RETRY"
    """The removal was not confirmed and is asked for again. By ProvisionerActor."""

    ORPHAN_CLEANUP_SUCCESS = "ORPHAN_CLEANUP_SUCCESS"
    """The node confirmed that the uuid is out. By ProvisionerActor."""

    ORPHAN_CLEANUP_FAILED = "ORPHAN_CLEANUP_FAILED"
    """The removal is set aside for a person: the node will not take it. By ProvisionerActor."""

    XRAY_SYNC_FAILED_BUT_PAYMENT_OK = "XRAY_SYNC_FAILED_BUT_PAYMENT_OK"
    """It is paid, and the node did not let the uuid in at the first try. By ProvisionerActor."""

    RECONCILIATION_MISSING_IN_XRAY = "reconciliation_missing_in_xray"
    """A node lost users that it had confirmed; they are wished for again. By ReconcilerActor."""

    RECONCILIATION_REMOVED = "reconciliation_removed"
    """Users of a node that nobody has a right for are removed. By ReconcilerActor."""

    RECONCILIATION_COMPLETE = "reconciliation_complete"
    """A comparison found something; `outcome` says what came of it. By ReconcilerActor."""

    RECONCILIATION_FAILURE = "RECONCILIATION_FAILURE"
    """A node could not be compared; the next run tries again. By ReconcilerActor."""

    PAYMENT_AMOUNT_MISMATCH = "PAYMENT_AMOUNT_MISMATCH"
    """Money came in another amount or currency than was asked for. By UserActor."""

    RENEWAL_EXTENDED = "RENEWAL_EXTENDED"
    """Time was added to access that is on. By UserActor."""

    RENEWAL_REACTIVATED = "RENEWAL_REACTIVATED"
    """Access that had ended is bought again; the same uuid comes back. By UserActor."""

    TRIAL_STARTED = "TRIAL_STARTED"
    """Somebody has their one trial. By UserActor."""

    TRIAL_REFUSED = "TRIAL_REFUSED"
    """Somebody asked for a trial and may have none. By UserActor."""
