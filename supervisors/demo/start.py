"""Starts the programs first and imports the rest meanwhile: the page is there seconds earlier."""

import asyncio
import importlib

from config.settings import DemoSettings
from supervisors.demo.errors import DemoError
from supervisors.demo.programs import demo_programs

FAILED = 1


async def start_demo(settings: DemoSettings, *, check: bool) -> int:
    """Show the demo, or walk through it alone.

    Returns:
        The exit status: of a check 0 only if every step holds.

    Raises:
        DemoError: the demo cannot run.
    """
    since = asyncio.get_running_loop().time()
    print("Starting; the first start makes a database and takes a little longer.", flush=True)
    try:
        async with demo_programs(settings) as programs:
            # In a thread: the site that Xray hides behind must answer in the meantime.
            name = "supervisors.demo.check" if check else "supervisors.demo.show"
            module = await asyncio.to_thread(importlib.import_module, name)
            status: int = await (module.check_demo if check else module.show_demo)(programs, since)
            return status
    except DemoError as error:
        if not check:
            raise
        print(f"FAIL  start: {error}", flush=True)
        return FAILED
