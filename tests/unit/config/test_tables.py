"""The plans file and the supervision file: what they may say, and what a person reads if not."""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from config.plans import LONGEST_PERIOD_S, STARS_LIMIT, TITLE_LIMIT, load_plans
from config.settings import CONFIG_FOLDER
from config.supervision import SupervisionPolicies, load_supervision
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
        engine = asdict(PolicyBoard(policies).policy(name)())

        assert engine | policy.model_dump() == engine
