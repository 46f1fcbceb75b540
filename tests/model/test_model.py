"""The protocol and paid time, searched whole: what holds, and that each ingredient is needed."""

import pytest

from tests.model.properties import UNENTITLED
from tests.model.variants import DEEP_VARIANTS, SIGHTS, SMALL_VARIANTS, Variant


def _name(variant: Variant) -> str:
    return variant.name


def prove(variant: Variant) -> None:
    """Search a variant and compare with what it has to find."""
    found = variant.run()
    print(f"{variant.name}: {found}")  # noqa: T201 - `pytest -s` shows it
    assert found.rule == variant.rule, str(found)
    if variant.rule is None:
        assert found.states == variant.states
        assert variant.sights <= found.sights
    else:
        # A start, what happened, and the state that breaks the rule.
        assert len(found.trace) > 2
        assert found.trace[0].startswith("start")


@pytest.mark.parametrize("variant", SMALL_VARIANTS, ids=_name)
def test_every_state_within_small_bounds(variant: Variant) -> None:
    prove(variant)


@pytest.mark.deep
@pytest.mark.parametrize("variant", DEEP_VARIANTS, ids=_name)
def test_every_state_with_one_of_every_fault(variant: Variant) -> None:
    prove(variant)


def test_interesting_states_are_looked_for() -> None:
    wanted = {"a lapsed renewal waits", "a reissue is cut by expiry", "a wipe during a reissue"}
    assert wanted <= set(SIGHTS)
    assert all(wanted <= v.sights for v in SMALL_VARIANTS if v.name.startswith("small"))


def test_a_wrong_decision_is_caught() -> None:
    """Production's functions are what is searched: another expiry, and the search fails."""
    (wrong,) = (v for v in SMALL_VARIANTS if v.name == "expiry forgets to shut out")

    found = wrong.run()

    assert found.rule == UNENTITLED
    assert any(line.startswith("expire") for line in found.trace)
