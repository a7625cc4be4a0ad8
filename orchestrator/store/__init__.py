"""Durable state in an SQL database: SQLite by default, PostgreSQL by its URL."""

from orchestrator.store.connections import sqlite_url
from orchestrator.store.sql import SqlStore

__all__ = ["SqlStore", "sqlite_url"]
