"""The plans file and the supervision file: what they may say, and what a person reads if not."""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from config.plans import (
    DAY_S,
    LONGEST_PERIOD_S,
    STARS_LIMIT,
    TITLE_LIMIT,
    USUAL_HORIZON_S,
    Limits,
    load_plans,
)
from config.settings import CONFIG_FOLDER
from config.supervision import SupervisionPolicies, load_supervision
from config.tuning import Tunables
from supervisors.operators.policies import PolicyBoard
from tests.unit.config.conftest import problems_of

PLAN = """
[[plans]]
id = "month"
title.en = "1 month"
title.ru = "1 месяц"
period_s = 2_592_000
price_stars = 150
nodes = []
"""
POLICIES = (CONFIG_FOLDER / "supervision.toml").read_text(encoding="utf-8")


@pytest.fixture
def plans_file(folder: Path) -> Callable[[str], Path]:
    """Write a plans file."""

    def write(text: str) -> Path:
        file = folder / "plans.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


# Plans


def test_the_plans_that_come_with_the_program_load() -> None:
    plans = load_plans(CONFIG_FOLDER / "plans.toml", [])

    assert [plan.id for plan in plans.plans] == ["week", "month", "quarter"]
    assert plans.trial is not None
    assert (plans.trial.plan, plans.trial.period_s) == ("week", DAY_S)
    assert plans.limits == Limits()


def test_the_example_of_the_plans_file_loads(plans_file: Callable[[str], Path]) -> None:
    """Comments of the shipped file that stand four characters in, or name limits."""
    shipped = (CONFIG_FOLDER / "plans.toml").read_text(encoding="utf-8")
    plan = re.search(r"^#   (\[\[plans\]\].*?)(?=^\[\[)", shipped, re.MULTILINE | re.DOTALL)
    limits = re.search(r"^# \[limits\].*", shipped, re.MULTILINE | re.DOTALL)
    assert plan is not None
    assert limits is not None

    text = re.sub(r"^# +", "", plan[0] + limits[0], flags=re.MULTILINE)
    plans = load_plans(plans_file(text), ["berlin-1"])

    assert (plans.plans[0].price_in("USDT"), plans.plans[0].tier) == (499_000_000, "fast")
    assert plans.limits == Limits()


def test_a_plan_has_a_price_in_each_currency_it_is_sold_for(
    plans_file: Callable[[str], Path],
) -> None:
    prices = 'prices = { USDT = "4.99", RUB = 499, EUR = 4.99 }\n'
    (month,) = load_plans(plans_file(PLAN + prices), []).plans

    assert month.price_in("XTR") == 150
    assert month.price_in("USDT") == 499_000_000
    assert month.price_in("RUB") == 49_900
    assert month.price_in("EUR") == 499
    assert month.price_in("USD") is None


def test_what_a_plan_does_not_say_is_usual(plans_file: Callable[[str], Path]) -> None:
    plans = load_plans(plans_file(PLAN), [])

    assert plans.trial is None
    assert plans.limits == Limits()
    assert plans.plans[0].tier == "standard"
    assert plans.plans[0].reach_s == USUAL_HORIZON_S


@pytest.mark.parametrize(
    ("period_s", "horizon_s", "reach_s"),
    [
        (30 * DAY_S, 0, USUAL_HORIZON_S),
        (5 * 366 * DAY_S, 0, 10 * 366 * DAY_S),
        (30 * DAY_S, 30 * DAY_S, 30 * DAY_S),
        (30 * DAY_S, 400 * DAY_S, 400 * DAY_S),
    ],
)
def test_a_plan_can_always_be_bought_once(
    plans_file: Callable[[str], Path], period_s: int, horizon_s: int, reach_s: int
) -> None:
    text = PLAN.replace("2_592_000", f"{period_s}") + f"horizon_s = {horizon_s}\n"
    (plan,) = load_plans(plans_file(text), []).plans

    assert plan.reach_s == reach_s >= plan.period_s


def test_a_plan_is_found_by_its_id(plans_file: Callable[[str], Path]) -> None:
    plans = load_plans(plans_file(PLAN), [])

    month = plans.get("month")

    assert month is not None
    assert (month.title.of("ru"), month.title.of("en"), month.title.of("de")) == (
        "1 месяц",
        "1 month",
        "1 month",
    )
    assert plans.get("year") is None


def test_a_plan_may_name_nodes_that_exist(plans_file: Callable[[str], Path]) -> None:
    file = plans_file(PLAN.replace("nodes = []", 'nodes = ["berlin"]'))

    plans = load_plans(file, ["berlin", "paris"])

    assert plans.plans[0].nodes == ("berlin",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"month"', '"Month"', "plans[0].id: String should match pattern"),
        ('"month"', f'"{"m" * 17}"', "plans[0].id: String should match pattern"),
        ('title.ru = "1 месяц"', "", "plans[0].title.ru: is missing"),
        ('"1 месяц"', '""', "plans[0].title.ru: String should have at least 1 character"),
        ('"1 month"', f'"{"m" * (TITLE_LIMIT + 1)}"', "plans[0].title.en: String should have at"),
        ("2_592_000", "59", "plans[0].period_s: Input should be greater than or equal to 60"),
        ("2_592_000", f"{LONGEST_PERIOD_S + 1}", "plans[0].period_s: Input should be less than"),
        ("2_592_000", "1.5", "plans[0].period_s: Input should be a valid integer"),
        ("150", "0", "plans[0].price_stars: Input should be greater than or equal to 1"),
        ("150", f"{STARS_LIMIT + 1}", "plans[0].price_stars: Input should be less than or equal"),
        ("150", "-150", "plans[0].price_stars: Input should be greater than or equal to 1"),
        ("price_stars", "price_usd = 1\nprice_stars", "plans[0].price_usd: unknown"),
        ("nodes = []", 'nodes = ["rome"]', "plan month: there is no node rome"),
        ("[[plans]]", "[plans]", "plans: Input should be a valid tuple"),
        (PLAN, "plans = []", "plans: Tuple should have at least 1 item"),
        (PLAN, "", "plans: is missing"),
        (PLAN, PLAN + PLAN, "plans: two plans have the same id"),
        (PLAN, "[[plans", "Expected ']]'"),
        ("nodes = []", "prices = { XTR = 1 }", "plans[0].prices: the price in Stars is"),
        ("nodes = []", "prices = { ABC = 1 }", "plans[0].prices: ABC: unknown currency"),
        ("nodes = []", "prices = { rub = 1 }", "plans[0].prices.rub.[key]: String should match"),
        ("nodes = []", "prices = { RUB = 0 }", "plans[0].prices: RUB: not an amount"),
        ("nodes = []", "prices = { RUB = -1 }", "plans[0].prices: RUB: not an amount"),
        ("nodes = []", "prices = { RUB = nan }", "plans[0].prices.RUB: Input should be a finite"),
        ("nodes = []", "prices = { RUB = inf }", "plans[0].prices.RUB: Input should be a finite"),
        ("nodes = []", 'prices = { RUB = "1e400" }', "plans[0].prices: RUB: not an amount"),
        ("nodes = []", 'prices = { RUB = "0.001" }', "plans[0].prices: RUB: not an amount"),
        ("nodes = []", 'prices = { RUB = "much" }', "plans[0].prices.RUB: Input should be a valid"),
        ("nodes = []", 'tier = "Fast!"', "plans[0].tier: String should match pattern"),
        ("nodes = []", "horizon_s = 60", "plans[0]: horizon_s is shorter than period_s"),
        ("nodes = []", "horizon_s = -1", "plans[0].horizon_s: Input should be greater than"),
        ("nodes = []", f"horizon_s = {LONGEST_PERIOD_S + 1}", "plans[0].horizon_s: Input should"),
        ("nodes = []", '[trial]\nplan = "year"\nperiod_s = 60', "settings: trial: there is no"),
        ("nodes = []", '[trial]\nplan = "month"', "trial.period_s: is missing"),
        ("nodes = []", '[trial]\nplan = "month"\nperiod_s = 59', "trial.period_s: Input should"),
        (
            "nodes = []",
            f'[trial]\nplan = "month"\nperiod_s = {90 * DAY_S + 1}',
            "trial.period_s: Input should be less than",
        ),
        ("nodes = []", "[limits]\ngrant_s = 59", "limits.grant_s: Input should be greater than"),
        ("nodes = []", "[limits]\nday_s = 60", "limits.day_s: unknown"),
    ],
)
def test_a_wrong_plan_is_one_line(
    plans_file: Callable[[str], Path], old: str, new: str, says: str
) -> None:
    assert PLAN.count(old) == 1
    file = plans_file(PLAN.replace(old, new))

    [problem] = problems_of(lambda: load_plans(file, ["berlin"]))

    assert problem.startswith(f"plans_file {file}: {says}")


def test_every_wrong_node_is_told(plans_file: Callable[[str], Path]) -> None:
    file = plans_file(PLAN.replace("nodes = []", 'nodes = ["rome", "berlin", "oslo"]'))

    assert problems_of(lambda: load_plans(file, ["berlin"])) == [
        f"plans_file {file}: plan month: there is no node rome",
        f"plans_file {file}: plan month: there is no node oslo",
    ]


def test_a_plans_file_that_is_not_there_is_said_so(folder: Path) -> None:
    file = folder / "absent.toml"

    assert problems_of(lambda: load_plans(file, [])) == [
        f"plans_file {file}: No such file or directory"
    ]


def test_a_plans_file_that_is_not_text_is_said_so(folder: Path) -> None:
    file = folder / "plans.toml"
    file.write_bytes(b"\xff")

    assert problems_of(lambda: load_plans(file, [])) == [f"plans_file {file}: is not UTF-8"]


# Supervision


def test_the_policies_that_come_with_the_program_load() -> None:
    policies = load_supervision(CONFIG_FOLDER / "supervision.toml")

    assert policies.users.max_restarts == 6
    assert policies.root.shutdown_s == 10


@pytest.mark.parametrize("supervisor", SupervisionPolicies.model_fields)
def test_every_supervisor_needs_its_policy(folder: Path, supervisor: str) -> None:
    file = folder / "supervision.toml"
    tables = re.split(r"^(?=\[)", POLICIES, flags=re.MULTILINE)
    kept = [table for table in tables if not table.startswith(f"[{supervisor}]")]
    file.write_text("".join(kept), encoding="utf-8")

    assert problems_of(lambda: load_supervision(file)) == [
        f"supervision_file {file}: {supervisor}: is missing"
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("max_restarts = -1", "max_restarts: Input should be greater than or equal to 0"),
        ("max_restarts = 1001", "max_restarts: Input should be less than or equal to 1000"),
        ("max_restarts = 1.5", "max_restarts: Input should be a valid integer"),
        ("window_s = 0", "window_s: Input should be greater than 0"),
        ("window_s = inf", "window_s: Input should be a finite number"),
        ("backoff_base_s = nan", "backoff_base_s: Input should be"),
        ('backoff_base_s = "soon"', "backoff_base_s: Input should be a valid number"),
        ("backoff_cap_s = 3601", "backoff_cap_s: Input should be less than or equal to 3600"),
        ("shutdown_s = -5", "shutdown_s: Input should be greater than 0"),
        ("shutdown = 5", "shutdown: unknown"),
    ],
)
def test_a_wrong_policy_is_one_line(folder: Path, line: str, says: str) -> None:
    file = folder / "supervision.toml"
    table = POLICIES[POLICIES.index("[door]") :]
    key = line.split(" ", maxsplit=1)[0]
    kept = [old for old in table.splitlines() if not old.startswith(f"{key} ")]
    file.write_text(POLICIES.replace(table, "\n".join([*kept, line])), encoding="utf-8")

    [problem] = problems_of(lambda: load_supervision(file))

    assert problem.startswith(f"supervision_file {file}: door.{says}")


def test_an_unknown_supervisor_is_refused(folder: Path) -> None:
    file = folder / "supervision.toml"
    file.write_text(POLICIES + "[doors]\n", encoding="utf-8")

    assert problems_of(lambda: load_supervision(file)) == [
        f"supervision_file {file}: doors: unknown"
    ]


def test_the_engine_gets_every_value_of_a_policy() -> None:
    policies = load_supervision(CONFIG_FOLDER / "supervision.toml")

    for name, policy in policies:
        engine = asdict(PolicyBoard(Tunables.of(policies)).policy(name)())

        assert engine | policy.model_dump() == engine
