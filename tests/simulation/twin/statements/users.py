"""Twins of `storage.users`."""

from storage import users
from tests.simulation.twin.registry import Answer, picker, statement, value
from tests.simulation.twin.tables import Tables

pick = picker(users.COLUMNS)


@statement(users.INTRODUCE, "e952f870")
def introduce(t: Tables, user_id: int, language: str) -> Answer:
    row, fresh = t.users.insert_unless("users_pkey", tg_id=user_id, language=language)
    return [pick(row if fresh else t.users.update(row, reachable=True))]


@statement(users.CHOOSE_LANGUAGE, "2fc6b9af")
def choose_language(t: Tables, user_id: int, language: str) -> Answer:
    row = t.users.get(user_id)
    if row is None:
        return 0
    t.users.update(row, language=language)
    return 1


@statement(users.READ, "c9327a58")
def read(t: Tables, user_id: int) -> Answer:
    row = t.users.get(user_id)
    return [] if row is None else [pick(row)]


@statement(users.LANGUAGE, "0bf98963")
def language_of(t: Tables, user_id: int) -> Answer:
    row = t.users.get(user_id)
    return [] if row is None else value("language", row["language"])


@statement(users.SET_STATUS, "555dc67f")
def set_status(t: Tables, user_id: int, status: str) -> Answer:
    row = t.users.get(user_id)
    if row is None or row["status"] == status:
        return 0
    t.users.update(row, status=status)
    return 1


@statement(users.SET_REACHABLE, "9b99ffa0")
def set_reachable(t: Tables, user_id: int, reachable: bool) -> Answer:
    row = t.users.get(user_id)
    if row is None or row["reachable"] == reachable:
        return 0
    t.users.update(row, reachable=reachable)
    return 1
