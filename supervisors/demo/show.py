"""`tollgate demo`: prints an address and runs until Ctrl-C."""

import asyncio
import signal
import sys

from supervisors.demo.programs import ADMIN_ID, Programs
from supervisors.demo.world import DemoWorld, demo_world


async def show_demo(programs: Programs, since: float) -> int:
    """Run the demo for people; `since` is when it began, in the loop's seconds.

    Raises:
        DemoError: it cannot run.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with demo_world(programs, _told) as world:
        print(f"\nReady in {loop.time() - since:.1f} s. Open {world.url}\n", flush=True)
        print(f"Two people at once: {world.url}/?person=1001 and {world.url}/?person=1002")
        print(f"The owner's chat (/why, /refund, /actors, /policy): {world.url}/?person={ADMIN_ID}")
        print(f"The actors, live, from another terminal: {sys.argv[0]} tree --watch")
        node, backend = world.programs
        print(f"Processes: node service {node.pid}, back-end {backend.pid}; they may be killed.")
        print("Ctrl-C ends it.", flush=True)
        await _until_stopped(world, stop)
        print("\nStopping.", flush=True)
    return 0


async def _until_stopped(world: DemoWorld, stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    keepers = [asyncio.create_task(program.keep_alive()) for program in world.programs]
    done, _ = await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, *keepers):
        if task not in done:
            task.cancel()
    for task in done:
        task.result()


def _told(what: str) -> None:
    print(f"  ✓ {what}", flush=True)
