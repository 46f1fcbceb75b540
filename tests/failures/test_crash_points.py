"""A back-end under test can be ended on both sides of each commit and call of the four flows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import crashing
from config.crashing import POINTS
from config.loading import SettingsError
from config.settings import load_settings
from storage.links import LinkCipher
from tests.conftest import MEASURED
from tests.failures.run import play
from tests.failures.scenario import scenarios
from tests.faults.convergence import FIRST, town
from tests.faults.own_process import TalkingTown
from tests.faults.scene import first_seed

MONTH_S = 2_592_000
#: Steps that belong to no flow: by a timer, for operators, or when something has failed.
BESIDES = (
    "ExpiryPhases.looked",
    "ExpiryPhases.remind",
    "NodePhases.hasten",
    "NodePhases.learn_epoch",
    "NodePhases.resume",
    "NodePhases.take_up",
    "NodePhases.tell_of_delays",
    "NoticePhases.postpone",
    "NoticePhases.resume",
    "OperatorRecords.",
    "PaymentPhases.poll_succeeded",
    "PostgresInbox.prune",
    "PostgresInbox.release",
    "PostgresInbox.resume",
    "ReconcilePhases.",
    "node GET",
    "telegram ",
)


@pytest.mark.deep
async def test_four_flows_pass_every_point_and_no_step_without_one(
    tmp_path: Path, database_url: str, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: set[str] = set()
    async with town(tmp_path, database_url, cipher, of=TalkingTown) as made:
        assert isinstance(made, TalkingTown)
        monkeypatch.setattr(crashing, "_reached", passed.add)
        person = await made.newcomer()
        for paid in (1, 2):  # a purchase and a renewal
            await made.buy(person, FIRST)
            paid_for = "SELECT count(*) = $1 FROM ledger WHERE source_kind = 'payment'"
            await made.until(paid_for, paid)
        await made.told(person)
        await made.renew_link(person)
        await made.age(person, 2 * MONTH_S)
        await made.until("SELECT status = 'expired' FROM subscriptions")
        await made.until("SELECT count(*) = 2 FROM credentials WHERE applied_gen = gen")
        await made.until("SELECT count(*) = 0 FROM outbox WHERE state = 'due'")

    steps = {point.partition(" ")[2] for point in passed}
    assert set(POINTS) - passed == set()
    assert {
        step for step in steps if f"before {step}" not in POINTS and not step.startswith(BESIDES)
    } == set()


@pytest.mark.deep
@pytest.mark.usefixtures("forkserver")
async def test_a_back_end_that_ends_at_any_point_loses_nothing(
    tmp_path: Path,
    database_url: str,
    cipher: LinkCipher,
    record_property: Callable[[str, object], None],
) -> None:
    row = await play(scenarios()[11], tmp_path, database_url, cipher, first_seed())

    assert row.ok, row.why
    assert row.fault_hits == len(POINTS)
    record_property(MEASURED, f"ended at {len(POINTS)} points, healed after {row.healed_s:.2f} s")


SETTINGS = """
[telegram]
token = "1:token"
api_base = "http://127.0.0.1:1"

[http]
listen = "127.0.0.1:2"

[database]
url = "postgresql://tollgate@127.0.0.1:3/tollgate"

[payments.cryptopay]
token = "token"
network = "http://127.0.0.1:4"

[[nodes]]
id = "node-1"
title = "A node"
url = "http://127.0.0.1:5"
api_keys = ["key"]

[testing]
crash_at = "after UserPhases.record_credit"
"""


def test_a_point_may_be_named_where_all_is_on_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "tollgate.toml"
    file.write_text(SETTINGS)

    assert load_settings(file).testing.crash_at == "after UserPhases.record_credit"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1",
        "127.0.0.1:2",
        "postgresql://tollgate@127.0.0.1:3/tollgate",
        "http://127.0.0.1:4",
        "http://127.0.0.1:5",
    ],
)
def test_no_point_may_be_named_where_anything_is_elsewhere(tmp_path: Path, address: str) -> None:
    elsewhere = address.replace("127.0.0.1", "vpn.example.com").replace("http:", "https:")
    file = tmp_path / "tollgate.toml"
    file.write_text(SETTINGS.replace(address, elsewhere))

    with pytest.raises(SettingsError, match=r"crash_at"):
        load_settings(file)


@pytest.mark.parametrize(
    "address", ["postgresql://u@/d?host=vpn.example.com", "postgresql://u@/d", ""]
)
def test_nor_where_nobody_knows_where_the_database_is(tmp_path: Path, address: str) -> None:
    file = tmp_path / "tollgate.toml"
    file.write_text(SETTINGS.replace("postgresql://tollgate@127.0.0.1:3/tollgate", address))

    if not address:
        assert load_settings(file).database.url is None, "the embedded one is here"
        return
    with pytest.raises(SettingsError, match=r"crash_at"):
        load_settings(file)


def test_a_point_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "tollgate.toml"
    file.write_text(SETTINGS.replace("after UserPhases.record_credit", "sometime"))

    with pytest.raises(SettingsError, match=r"crash_at: is no point"):
        load_settings(file)
