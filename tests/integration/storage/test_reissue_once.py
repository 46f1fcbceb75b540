"""A tap for a new link that is carried out again, after a crash, makes no second one."""

from uuid import uuid4

from actors.user.decisions.access import decide_reissue
from actors.user.messages import Reissue
from storage.rows import AccessChange
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, CATALOGUE, Shop, fresh
from tests.invariants import assert_invariants


async def reissued(shop: Shop, tap: Reissue) -> bool:
    change = decide_reissue(await shop.users.load(BUYER), tap, CATALOGUE, fresh())
    assert isinstance(change, AccessChange)
    return await shop.users.record_change(change)


async def test_the_same_tap_after_its_link_works_makes_no_other(shop: Shop, rows: Rows) -> None:
    await shop.served()
    tap = Reissue(operation_id=uuid4().hex, leaked=True)
    assert await reissued(shop, tap)
    new, _ = (await shop.record()).credentials
    await shop.confirm(new)

    assert not await reissued(shop, tap)

    assert len((await shop.record()).credentials) == 2
    assert await reissued(shop, Reissue(operation_id=uuid4().hex, leaked=True)), "another tap"
    await assert_invariants(rows, shop.cipher, healed=False)
