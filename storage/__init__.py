"""PostgreSQL: the only SQL, and the only importer of asyncpg."""
