"""Repeats are earned by successes; a little is always allowed."""

from actors.provisioner.budget import BudgetLimits, RetryBudget


def spent(budget: RetryBudget, now: float) -> int:
    count = 0
    while budget.spend(now):
        count += 1
    return count


def test_a_new_one_allows_ten_and_one_more_a_second() -> None:
    budget = RetryBudget()

    assert spent(budget, 100.0) == 11
    assert not budget.allows(100.9)
    assert spent(budget, 101.0) == 1
    assert spent(budget, 200.0) == 1, "seconds are not saved up"


def test_ten_successes_earn_one() -> None:
    budget = RetryBudget()
    spent(budget, 0.0)
    for _ in range(9):
        budget.earn()
    assert not budget.allows(0.5)

    budget.earn()
    budget.earn()  # a tenth is no exact number

    assert spent(budget, 0.5) == 1


def test_no_more_is_kept_than_the_cap() -> None:
    budget = RetryBudget(BudgetLimits(cap=2.0))
    for _ in range(100):
        budget.earn()

    assert spent(budget, 0.0) == 3


def test_an_outage_costs_a_tenth_more_than_its_changes() -> None:
    """A thousand changes in a minute of which each would be repeated for ever."""
    budget = RetryBudget()
    for _ in range(1_000):
        budget.earn()
    repeats = sum(spent(budget, now / 10) for now in range(600))

    assert repeats <= 10 + 60
