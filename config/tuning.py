"""What operators may change while the program runs: names, bounds, and how a word becomes a value.

Pure. A name is `<table>.<field>`; a change is checked against its bounds and, with all other
values, as a whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from config.nodes import BreakerSection, ExpirySection, ProvisionerSection, ReconcilerSection
from config.supervision import SupervisionPolicies

#: A span of time as people write it; a bare number is seconds.
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
#: The longest time after which a change may be taken back by itself, seconds.
LONGEST_REVERT_S = 30 * 86_400.0
#: More of what an operator wrote is not repeated to them.
MOST_QUOTED = 60


class Tunables(SupervisionPolicies):
    """Everything that can be changed: restart policies, and how nodes and time are dealt with."""

    provisioner: ProvisionerSection = ProvisionerSection()
    breaker: BreakerSection = BreakerSection()
    reconciler: ReconcilerSection = ReconcilerSection()
    expiry: ExpirySection = ExpirySection()

    @classmethod
    def of(cls, policies: SupervisionPolicies, **tables: Any) -> "Tunables":
        """Restart policies of one file, and tables of another."""
        return cls(**{name: policy for name, policy in policies}, **tables)  # noqa: C416 - no dict


class TuningError(ValueError):
    """A change that cannot be. The text names the setting, and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """One value that can be changed: what it is, what the file says, and what it may be."""

    key: str
    value: Any
    default: Any
    bounds: str

    @property
    def changed(self) -> bool:
        """Whether an operator changed it."""
        return bool(self.value != self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a change would have done to the restarts of the last `within_s` seconds.

    `too_many` counts how often the limits were exceeded, as they are and as they would be.
    """

    key: str
    old: Any
    new: Any
    within_s: float
    restarts: int
    actors: int
    too_many_before: int
    too_many_after: int


def tunables(defaults: Tunables, current: Tunables) -> list[Tunable]:
    """Everything that can be changed, in the order of the file."""
    return [
        Tunable(
            key=f"{section}.{field}",
            value=getattr(getattr(current, section), field),
            default=getattr(getattr(defaults, section), field),
            bounds=bounds_of(info),
        )
        for section, policy in defaults
        for field, info in type(policy).model_fields.items()
    ]


def parse_value(policies: Tunables, key: str, text: str) -> Any:
    """What an operator's word for a setting means.

    Raises:
        TuningError: there is no such setting, or the value is out of bounds.
    """
    section, field, info = _field(policies, key)
    try:
        changed = with_overrides(policies, {key: _number(text.strip().lower(), info)})
    except TuningError:
        raise TuningError(
            f"{key}: {_quoted(text)} is out of bounds; it may be {bounds_of(info)}"
        ) from None
    return getattr(getattr(changed, section), field)


def with_overrides(policies: Tunables, overrides: Mapping[str, Any]) -> Tunables:
    """The policies with some values replaced.

    Raises:
        TuningError: an override names no setting, or its value is out of bounds.
    """
    tables = policies.model_dump()
    for key, value in overrides.items():
        section, field, _ = _field(policies, key)
        tables[section][field] = value
    try:
        return Tunables.model_validate(tables)
    except ValidationError as error:
        names = {".".join(str(part) for part in fault["loc"]) for fault in error.errors()}
        raise TuningError(f"out of bounds: {', '.join(sorted(names))}") from None


def bounds_of(info: FieldInfo) -> str:
    """What a setting may be, for people."""
    if get_origin(info.annotation) is Literal:
        return " or ".join(str(choice) for choice in get_args(info.annotation))
    low = high = ""
    for limit in info.metadata:
        match limit:
            case Ge(ge=bound):
                low = _plain(bound)
            case Gt(gt=bound):
                low = f"above {_plain(bound)}"
            case Le(le=bound):
                high = _plain(bound)
            case Lt(lt=bound):
                high = f"below {_plain(bound)}"
            case _:
                pass
    kind = "whole numbers " if info.annotation is int else ""
    return f"{kind}{low} to {high}"


def parse_span(text: str) -> float:
    """Seconds of a span like `90`, `60s`, `15m`, `2h` or `1d`.

    Raises:
        TuningError: it is none, or too long.
    """
    match = SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise TuningError(f"{_quoted(text)} is no span of time; write 90, 60s, 15m, 2h or 1d")
    return checked_span(float(match[1]) * UNITS[match[2] or "s"], text)


def checked_span(seconds: float, text: str) -> float:
    """A span that a change may be made for; `text` is how it was asked for.

    Raises:
        TuningError: it is too short, too long, or no number.
    """
    if not 1 <= seconds <= LONGEST_REVERT_S:  # holds for NaN too
        raise TuningError(f"{_quoted(text)}: a span from 1s to 30d")
    return seconds


def _field(policies: Tunables, key: str) -> tuple[str, str, FieldInfo]:
    section, _, field = key.partition(".")
    if section not in Tunables.model_fields:
        names = ", ".join(Tunables.model_fields)
        raise TuningError(f"{_quoted(key)}: no such policy; there are {names}")
    policy: BaseModel = getattr(policies, section)
    info = type(policy).model_fields.get(field)
    if info is None:
        names = ", ".join(type(policy).model_fields)
        raise TuningError(f"{_quoted(key)}: {section} has {names}")
    return section, field, info


def _number(text: str, info: FieldInfo) -> Any:
    if get_origin(info.annotation) is Literal:
        return text
    try:
        return int(text) if info.annotation is int else float(text)
    except ValueError:
        return text


def _quoted(text: str) -> str:
    """What an operator wrote, fit for one line of an answer."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= MOST_QUOTED else f"{line[:MOST_QUOTED]}…"


def _plain(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
