"""Twins of every statement of `storage/`, module by module."""

from tests.simulation.twin.statements import (
    comparisons,
    credentials,
    expiry,
    inbox,
    nodes,
    operations,
    outbox,
    owner,
    payments,
    purchases,
    refunds,
    settings,
    subscriptions,
    users,
)

__all__ = [
    "comparisons",
    "credentials",
    "expiry",
    "inbox",
    "nodes",
    "operations",
    "outbox",
    "owner",
    "payments",
    "purchases",
    "refunds",
    "settings",
    "subscriptions",
    "users",
]
