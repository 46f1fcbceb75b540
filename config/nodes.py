"""How nodes are called, compared and filled, and how time ends: read at start, and tunable live.

Bounds of what protects people are the design's own values: they can be made narrower, never wider.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: A feature that an operator may switch off for a while.
Switch = Literal["on", "off"]


class Tuned(BaseModel):
    """A table of the settings file whose values can be changed while the program runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ProvisionerSection(Tuned):
    """How node calls are made and repeated, in seconds; see `actors/provisioner`."""

    #: Off: nothing is sent to any node; what waits goes out when it is on again.
    enabled: Switch = "on"
    attempt_timeout_s: float = Field(default=4.0, gt=0, le=30)
    concurrency: int = Field(default=8, ge=1, le=64)
    scan_interval_s: float = Field(default=1.0, gt=0, le=60)
    retry_base_s: float = Field(default=0.2, gt=0, le=10)
    retry_cap_s: float = Field(default=60.0, ge=1, le=600)
    #: A node that has taken no change for so long is sold to nobody new.
    sales_pause_s: float = Field(default=900.0, ge=1, le=86_400)


class ReconcilerSection(Tuned):
    """How nodes are compared with the database; in seconds."""

    #: Off: nodes are compared only when somebody asks.
    enabled: Switch = "on"
    #: Off: users without a right are counted, and stay.
    removals: Switch = "on"
    interval_s: float = Field(default=60.0, ge=1, le=3_600)
    #: In one run, and within a day, may go the larger of so many users and such a share of all,
    #: never more than the last.
    guard_users: int = Field(default=20, ge=0, le=20)
    guard_share: float = Field(default=0.01, ge=0, le=0.01)
    guard_most: int = Field(default=500, ge=0, le=500)


class ExpirySection(Tuned):
    """How access ends whose time is over; in seconds."""

    #: Off: nobody's access ends.
    enabled: Switch = "on"
    #: Off: nobody is reminded before, or after.
    reminders: Switch = "on"
    interval_s: float = Field(default=5.0, ge=0.1, le=600)
    #: So many that are due are ended by statements instead of their actors, so many at a time.
    bulk_from: int = Field(default=200, ge=1, le=100_000)
    bulk_users: int = Field(default=1_000, ge=1, le=5_000)


class BreakerSection(Tuned):
    """When a node is not called for a while; in seconds; see `actors/provisioner`."""

    window_calls: int = Field(default=20, ge=1, le=1_000)
    window_s: float = Field(default=60.0, gt=0, le=3_600)
    fewest_calls: int = Field(default=5, ge=1, le=1_000)
    failure_share: float = Field(default=0.5, gt=0, le=1)
    failures_in_row: int = Field(default=5, ge=1, le=1_000)
    tls_in_row: int = Field(default=2, ge=1, le=100)
    slow_s: float = Field(default=2.0, gt=0, le=30)
    slow_share: float = Field(default=0.8, gt=0, le=1)
    fewest_slow_calls: int = Field(default=10, ge=1, le=1_000)
    open_s: float = Field(default=5.0, gt=0, le=600)
    open_cap_s: float = Field(default=60.0, gt=0, le=600)
    open_jitter: float = Field(default=0.2, ge=0, lt=1)
    probes: int = Field(default=2, ge=1, le=20)
    probe_interval_s: float = Field(default=1.0, gt=0, le=60)
    ramp_successes: int = Field(default=10, ge=1, le=1_000)
