"""A database for each row here."""

from tests.integration.database_fixtures import cipher, database_url, keys, postgres, stock

#: Fixtures that live in a module of their own.
__all__ = ["cipher", "database_url", "keys", "postgres", "stock"]
