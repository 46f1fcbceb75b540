"""What a crash leaves half done is finished by itself, once."""

import asyncio
from collections.abc import Iterator

import pytest

from supervisors.demo.children import ChildProgram
from tests.e2e.conftest import PATIENCE_S, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_backend_killed_right_after_payment_finishes_after_its_restart(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    buyer = shop.buyer(next(user_ids))
    await shop.paid(buyer)

    await shop.kill(shop.programs.backend)
    await shop.programs.backend.start()
    link = await shop.link(buyer)

    assert (await shop.world.probe(link)).ok
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]
    assert len(await shop.credentials(buyer.id)) == 1


async def test_a_backend_killed_between_payment_and_activation_finishes_after_its_restart(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    """The node is away when the money comes, so the crash certainly lies in between."""
    buyer = shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    await shop.kill(shop.programs.node)
    await buyer.pay(invoice)
    await buyer.wait_for("by itself", timeout_s=PATIENCE_S)
    assert buyer.link is None

    await shop.kill(shop.programs.backend)
    await shop.start_node()
    await shop.programs.backend.start()
    link = await shop.link(buyer)

    assert (await shop.world.probe(link)).ok
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]
    assert len(await shop.credentials(buyer.id)) == 1


async def test_paid_time_starts_when_access_works(shop: Shop, user_ids: Iterator[int]) -> None:
    """A node that is away costs the buyer patience, and no second of what was paid."""
    buyer = shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    await shop.kill(shop.programs.node)
    await buyer.pay(invoice)
    await buyer.wait_for("by itself", timeout_s=PATIENCE_S)
    (waiting,) = await shop.rows(
        "SELECT status, pending_s, expires_at FROM subscriptions WHERE user_id = $1", buyer.id
    )

    await shop.start_node()
    await shop.link(buyer)
    (running,) = await shop.rows(
        "SELECT status, pending_s, expires_at - c.first_applied_at = interval '604800 s' AS whole "
        "FROM subscriptions s JOIN credentials c ON c.subscription_id = s.id WHERE user_id = $1",
        buyer.id,
    )

    assert tuple(waiting) == ("activating", 604_800, None)
    assert tuple(running) == ("active", 0, True)


async def test_users_are_let_in_again_after_the_node_was_killed(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    buyer = shop.buyer(next(user_ids))
    await shop.paid(buyer)
    link = await shop.link(buyer)

    await shop.kill(shop.programs.node)
    assert not (await shop.world.probe(link)).ok
    await shop.start_node()

    assert (await shop.world.probe(link)).ok


async def test_a_second_backend_shuts_out_the_first(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.programs.backend
    second = ChildProgram(
        "the second back-end",
        ["--config", str(shop.programs.files.backend_file), "run"],
        shop.programs.files.folder / "second.log",
    )
    with monkeypatch.context() as elsewhere:
        # As on another machine: with the first one's address it would not start at all.
        elsewhere.setenv("TOLLGATE_HTTP__LISTEN", "127.0.0.1:0")
        await second.start()

    async with asyncio.timeout(PATIENCE_S):
        ended = str(await first.ended())
    await second.stop()
    await first.start()

    assert "status 1" in ended
