"""Twins of `storage.database` and `storage.identity`: who owns a database, and whose it is."""

from uuid import UUID

from storage import database, identity
from tests.simulation.twin.registry import Answer, Record, statement, tally, value
from tests.simulation.twin.tables import Tables

#: What pg_backend_pid() says.
BACKEND_PID = 1


@statement(database.QUEUE_UP, "ba6856ee")
def queue_up(t: Tables) -> Answer:
    del t  # one transaction runs at a time
    return 0


@statement(database.TAKE_OVER, "a5df42c9")
def take_over(t: Tables, shard: int, owner: UUID) -> Answer:
    row = t.shards.get(shard)
    if row is None:
        return []
    taken = t.shards.update(
        row,
        epoch=row["epoch"] + 1,
        owner=owner,
        backend_pid=BACKEND_PID,
        backend_start=t.now,
        seen_at=t.now,
    )
    return value("epoch", taken["epoch"])


@statement(database.SEEN, "5fa1fa3a")
def seen(t: Tables, shard: int, epoch: int | None) -> Answer:
    row = t.shards.get(shard)
    if row is None or row["epoch"] != epoch:
        return []
    t.shards.update(row, seen_at=t.now)
    return tally(1)


@statement(database.PROVE_OWNER, "b6df77a3")
def prove_owner(t: Tables, shard: int, epoch: int | None) -> Answer:
    row = t.shards.get(shard)
    return tally(row is not None and row["epoch"] == epoch)


@statement(identity.READ, "35d5f2d7")
def read(t: Tables) -> Answer:
    return [
        Record(bot_id=row["bot_id"], keys_fingerprint=row["keys_fingerprint"])
        for row in t.system.rows.values()
    ]


@statement(identity.WRITE, "3900bcb7")
def write(t: Tables, bot_id: int, fingerprint: str) -> Answer:
    for row in list(t.system.rows.values()):
        t.system.update(row, bot_id=bot_id, keys_fingerprint=fingerprint)
    return len(t.system.rows)
