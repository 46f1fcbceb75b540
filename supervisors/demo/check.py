"""`tollgate demo --check`: the buyer's journey without a person, to real traffic and back."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.sandbox import Message, NotSeenError, Paid
from supervisors.demo.errors import DemoError
from supervisors.demo.programs import Programs
from supervisors.demo.world import DemoWorld, demo_world
from xray_api.probe import ProbeResult

FAILED = 1
#: How long the buyer waits for each thing that the bot does, seconds.
PATIENCE_S = 30.0


class CheckFailed(Exception):  # noqa: N818 - what happened
    """A step did not come out as it must."""


class Steps:
    """Prints a line a step with its time, and remembers which one is being tried."""

    def __init__(self, since: float) -> None:
        self._since = since
        self.current = "start"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; its line comes when it held."""
        self.current = name
        yield
        self.held(name)

    def held(self, name: str) -> None:
        """A step that has just ended well."""
        now = asyncio.get_running_loop().time()
        print(f"ok    {now - self._since:7.3f} s  {name}", flush=True)
        self._since = now


async def check_demo(programs: Programs, since: float) -> int:
    """Walk the journey; 0 only if every step holds. `since` is when it began, in loop seconds."""
    steps = Steps(since)
    try:
        async with demo_world(programs, steps.held) as world:
            await _journey(world, steps)
    except (DemoError, CheckFailed, NotSeenError) as error:
        print(f"FAIL  {steps.current}: {error}", flush=True)
        return FAILED
    print("All steps hold.", flush=True)
    return 0


async def _journey(world: DemoWorld, steps: Steps) -> None:
    buyer = world.sandbox.person(_fresh_id(), first_name="Check", language_code="en")
    with steps.step("/start shows a card with a Buy button"):
        await buyer.say("/start")
        card = await buyer.wait_for(_offers("go:plans"), timeout_s=PATIENCE_S)
    with steps.step("Buy shows the plans, a plan the ways to pay, Stars an invoice"):
        await buyer.tap(card, _callback(card, "go:plans"))
        plans = await buyer.wait_for(_offers("plan:"), timeout_s=PATIENCE_S)
        await buyer.tap(plans, _callback(plans, "plan:"))
        ways = await buyer.wait_for(_offers("way:"), timeout_s=PATIENCE_S)
        await buyer.tap(ways, _callback(ways, "way:"))
        invoice = await buyer.wait_for(lambda m: m.invoice is not None, timeout_s=PATIENCE_S)
    with steps.step("the invoice is paid"):
        paid = await buyer.pay(invoice)
        _must(isinstance(paid, Paid), f"the payment was refused: {paid}")
    with steps.step("from paid to the link in the chat"):
        delivered = await buyer.wait_for(lambda m: m.link is not None, timeout_s=PATIENCE_S)
    link = delivered.link or ""
    _must(bool(buyer.photos), "no QR code came with the link")
    with steps.step("real traffic flows through the link"):
        _passed(await world.probe(link))
    await _negative_controls(world, steps, link)


async def _negative_controls(world: DemoWorld, steps: Steps, link: str) -> None:
    with steps.step("an unknown uuid is refused"):
        await _refused(world, _with_uuid(link, uuid.uuid4()))
    stranger = uuid.uuid4()
    epoch = (await world.node.ready()).epoch
    with steps.step("a second user is let in without a restart of Xray"):
        added = await world.node.put(stranger, 1, epoch)
        _passed(await world.probe(added.vless_link))
    with steps.step("the same user is refused after removal"):
        await world.node.remove(stranger, 2, epoch)
        await _refused(world, added.vless_link)
    with steps.step("the buyer's link still works"):
        _passed(await world.probe(link))


async def _refused(world: DemoWorld, link: str) -> None:
    before = world.page.hits
    result = await world.probe(link)
    _must(not result.ok and world.page.hits == before, "a page came through, and must not")


def _passed(result: ProbeResult) -> None:
    _must(result.ok, f"no page came through: {result.detail}")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckFailed(otherwise)


def _with_uuid(link: str, other: uuid.UUID) -> str:
    scheme, _, rest = link.partition("://")
    return f"{scheme}://{other}@{rest.partition('@')[2]}"


def _callback(message: Message, prefix: str) -> str:
    return next(b.data for b in message.buttons if b.data and b.data.startswith(prefix))


def _offers(prefix: str) -> Callable[[Message], bool]:
    return lambda message: any(b.data and b.data.startswith(prefix) for b in message.buttons)


def _fresh_id() -> int:
    """A buyer who never bought before, whatever earlier checks left in the database."""
    return 2_000_000_000 + uuid.uuid4().int % 1_000_000_000
