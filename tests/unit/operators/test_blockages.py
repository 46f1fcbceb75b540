"""A blocked loop is told by the watchdog's thread, and written by the journal on the loop."""

import threading

from actors.runtime.events import EventKind
from actors.runtime.watchdog import Blockage
from storage.rows import EventDraft
from supervisors.operators.journal import Journal
from supervisors.run import blockages_to
from tests.clock import ManualClock, turn
from tests.unit.operators.test_journal import Slate

BLOCKED = Blockage(actor="user/7", stack=("actor.py:1 f", "sums.py:9 add_up"))


async def test_a_blockage_is_an_event_when_it_is_over() -> None:
    journal, slate = Journal(ManualClock(), []), Slate()
    report = blockages_to(journal, ManualClock())

    for blocked_s in (None, 0.7512):
        noticed = Blockage(actor=BLOCKED.actor, stack=BLOCKED.stack, blocked_s=blocked_s)
        thread = threading.Thread(target=report, args=[noticed])
        thread.start()
        thread.join()
    await turn()
    await journal.flush(slate)

    [event] = slate.written
    assert isinstance(event, EventDraft)
    assert (event.kind, event.actor, event.reason) == (
        EventKind.LOOP_BLOCKED,
        "user/7",
        "sums.py:9 add_up",
    )
    assert event.details["for_s"] == 0.751
