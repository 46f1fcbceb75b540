"""The doctor looks at a shop that runs, while people buy, and finds it well."""

import asyncio
import json
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_doctor_finds_a_working_shop_well(shop: Shop, user_ids: Iterator[int]) -> None:
    buyer = shop.buyer(next(user_ids))
    await shop.paid(buyer)
    await shop.link(buyer)
    command = [sys.executable, "-m", "supervisors.cli", "--config"]
    command += [str(shop.programs.files.backend_file), "doctor", "--deep", "--json"]

    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    buying = asyncio.create_task(shop.paid(shop.buyer(next(user_ids))))
    out, err = await process.communicate()
    await buying

    assert process.returncode == 0, out.decode() + err.decode()
    findings = json.loads(out)["findings"]
    told = [one["text"] for one in findings if one["about"] == "back-end"]
    assert told == ["runs, and owns the database"]
    assert {one["about"] for one in findings if one["state"] == "ok"} >= {
        "database",
        "identity",
        "telegram",
        "cryptopay",
        "node demo",
        "clocks",
        "rows",
    }
    assert shop.world.sandbox.token not in out.decode() + err.decode()
