"""Keys fit to access, and go on for ever."""

from storage.invariants.rules import SHOWN, Details, Found, Life, Row, always

#: With access on, or about to be.
WITH_ACCESS = ("active", "activating")
MOST_PRESENT = 2


@always(
    "I6", "access has a present credential and nothing else has; running time waits for nothing"
)
def fit(life: Life) -> Found:
    """Who may come in has a key, who may not has none."""
    if life.subscription is None:
        return
    present, pending_s = len(life.present), life.subscription["pending_s"]
    wrong = (life.status in WITH_ACCESS) != (present > 0)
    if wrong or (life.status == "active" and pending_s != 0):
        yield {"status": life.status, "present": present, "pending_s": pending_s}


@always("I8", "two credentials are present only while one is to replace the other")
def one_at_a_time(life: Life) -> Found:
    """The new one was never applied, and the old one is there until it is."""
    present = life.present
    if len(present) < MOST_PRESENT:
        return
    uuids = {row["uuid"] for row in present}
    replacing = any(r["replaces"] in uuids and r["first_applied_at"] is None for r in present)
    if len(present) > MOST_PRESENT or not replacing:
        yield {"present": len(present)}


@always("I9", "a key belongs to one subscription for ever, and is never forgotten")
def remembered(life: Life) -> Found:
    """Whatever the story or another key tells of is there."""
    known = {row["uuid"] for row in life.credentials}
    for row in life.credentials:
        if row["replaces"] is not None and row["replaces"] not in known:
            yield {"key": row["uuid"], "replaces": row["replaces"]}
    beginnings = {str(uuid)[:SHOWN] for uuid in known}
    for kind, subject in life.story or {}:
        if kind == "key" and subject not in beginnings:
            yield {"key": subject}


@always("I10", "nothing newer than the wish is applied")
def wished_first(life: Life) -> Found:
    """A confirmation is of a wish that was made."""
    for row in life.credentials:
        if row["applied_gen"] > row["gen"] or row["gen"] < 1:
            yield _key(row)


@always("I10", "no generation is below one that was told of")
def only_grows(life: Life) -> Found:
    """The story tells each generation that a key ever had."""
    for row in life.credentials:
        last = (life.story or {}).get(("key", str(row["uuid"])[:SHOWN]))
        if last is not None and last["details"].get("gen", 0) > row["gen"]:
            yield {**_key(row), "told": last["details"]["gen"]}


@always("I16", "a link contains the uuid of its row")
def own_link(life: Life) -> Found:
    """Whoever gets a link gets their own; one that does not open is nobody's."""
    open_link = life.scene.open_link
    for row in life.credentials:
        if row["link_enc"] is None or open_link is None:
            continue
        try:
            link = open_link(row["link_enc"])
        except Exception as error:  # noqa: BLE001 - whatever a cipher raises, it is no link
            yield {"key": row["uuid"], "error": type(error).__name__}
            continue
        if not link.startswith(f"vless://{row['uuid']}@"):
            yield {"key": row["uuid"]}


RULES = (fit, one_at_a_time, remembered, wished_first, only_grows, own_link)


def _key(row: Row) -> Details:
    return {"key": row["uuid"], "gen": row["gen"], "applied_gen": row["applied_gen"]}
