"""Durable state in an SQL database: SQLite by default, or PostgreSQL, as ``store.url`` requests.

- ``database``: The database: connections, queries, migrations, locks, errors
- ``read_models``: Lists of many jobs or workers. They read columns, and no JSON documents
- ``schema``: Tables, columns, and JSON documents in them
"""

from orchestrator.store.database.connections import sqlite_url
from orchestrator.store.store import SqlStore

__all__ = ["SqlStore", "sqlite_url"]
