"""A real database beside the twin."""

from tests.integration.database_fixtures import cipher, database_url, keys, postgres, rows, stock

#: Fixtures that live in a module of their own.
__all__ = ["cipher", "database_url", "keys", "postgres", "rows", "stock"]
