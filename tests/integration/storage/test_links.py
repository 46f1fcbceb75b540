"""A dump of the database lets nobody in."""

import pytest
from cryptography.fernet import InvalidToken
from pydantic import SecretStr

from config.keys import MasterKeys
from storage.links import LinkCipher
from tests.integration.database_fixtures import Rows
from tests.integration.shop import Shop

OLD = SecretStr("the first master secret, long enough")
NEW = SecretStr("the second master secret, long enough")
LINK = "vless://00000000-0000-4000-8000-0000000000aa@node.example.com:443?security=reality"

TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)


async def dump_of(rows: Rows) -> str:
    """Every row of every table; bytes are in hexadecimal."""
    found = [
        text
        for (table,) in await rows.fetch(TABLES)
        for (text,) in await rows.fetch(f"SELECT t::text FROM {table} t")  # noqa: S608 - ours
    ]
    return "\n".join(found)


async def test_no_link_is_readable_in_the_database(shop: Shop, rows: Rows) -> None:
    owned = await shop.served()

    dump = await dump_of(rows)

    assert str(owned.uuid) in dump, "the dump is of everything"
    assert owned.link_enc is not None
    assert owned.link_enc.hex() in dump
    for secret in ("vless://", "node.example.com"):
        assert secret not in dump
        assert secret.encode().hex() not in dump


async def test_what_a_user_s_actor_reads_opens(shop: Shop) -> None:
    owned = await shop.served()

    assert shop.users.open_link(owned).startswith(f"vless://{owned.uuid}@")


def test_a_new_key_opens_what_an_old_one_closed() -> None:
    closed = LinkCipher(MasterKeys([OLD])).close(LINK)

    assert LinkCipher(MasterKeys([NEW, OLD])).open(closed) == LINK


def test_the_current_key_closes() -> None:
    closed = LinkCipher(MasterKeys([NEW, OLD])).close(LINK)

    assert LinkCipher(MasterKeys([NEW])).open(closed) == LINK
    with pytest.raises(InvalidToken):
        LinkCipher(MasterKeys([OLD])).open(closed)


def test_equal_links_are_stored_differently() -> None:
    cipher = LinkCipher(MasterKeys([OLD]))

    assert cipher.close(LINK) != cipher.close(LINK)
