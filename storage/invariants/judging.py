"""Pure: all rules together, over rows of a whole database or of some of its users."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.invariants import acts, keys, money, paid_time, waiting
from storage.invariants.acts import Records, broken_records
from storage.invariants.rules import Broken, Life, Rule, Scene, Tables, broken_by, lives, told_of

USER_RULES: tuple[Rule[Life], ...] = (
    *money.RULES,
    *paid_time.RULES,
    *keys.RULES,
    *waiting.RULES,
    *acts.RULES,
)
RECORD_RULES: tuple[Rule[Records], ...] = acts.RECORD_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """How a database is judged; see `Scene` for what is not said here.

    Attributes:
        healed: whether what holds eventually must hold now.
    """

    open_link: Callable[[bytes], str] | None
    healed: bool = True
    owners: bool = False
    away: Collection[str] = frozenset()
    ends_held: bool = False
    patience: timedelta = timedelta(0)

    def scene(self, tables: Tables, now: datetime, alerts: Collection[tuple[str, str]]) -> Scene:
        """Of one moment."""
        return Scene(
            now=now,
            open_link=self.open_link,
            nodes={row["id"]: row for row in tables.get("nodes", ())},
            away=self.away,
            alerts=alerts,
            owners=self.owners,
            ends_held=self.ends_held,
            patience=self.patience,
        )


def broken_in(tables: Tables, now: datetime, judge: Judge) -> list[Broken]:
    """What is broken in these rows, which are a whole database in one moment."""
    scene = judge.scene(tables, now, told_of(tables.get("outbox", ())))
    return [
        *broken_lives(tables, scene, judge),
        *broken_records(Records.of(tables, owners=judge.owners)),
    ]


def broken_lives(tables: Tables, scene: Scene, judge: Judge) -> list[Broken]:
    """What lives break."""
    return [
        found
        for life in lives(tables, scene)
        for found in broken_by(life, f"user {life.user['tg_id']}", USER_RULES, healed=judge.healed)
    ]
