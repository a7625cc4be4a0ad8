"""Durable state in an SQL database: SQLite by default; PostgreSQL if ``store.url`` names it.

- ``database``: The database: connections, queries, migrations, locks, errors
- ``read_models``: Lists of many jobs or workers. Their queries read columns, never JSON documents
- ``schema``: Tables, columns, and JSON documents in them
"""

from orchestrator.store.database.connections import sqlite_url
from orchestrator.store.store import SqlStore

__all__ = ["SqlStore", "sqlite_url"]
