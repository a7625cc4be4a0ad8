"""The database that the settings name."""

from pathlib import Path

from orchestrator.config import Settings
from orchestrator.store import SqlStore, sqlite_url

DATABASE_NAME = "orchestrator.db"


def store_url(settings: Settings, workspace: Path) -> str:
    url = settings.store.url
    return url.get_secret_value() if url else sqlite_url(workspace / DATABASE_NAME)


def check_database(settings: Settings) -> str:
    """Check, without changing the database, that a server could write it.

    Return the result as text. Raise StoreError if the database cannot be written.
    """
    store = SqlStore(store_url(settings, settings.orchestrator.workspace_root))
    store.check_writable()
    if store.file is not None and not store.file.exists():
        return f"{store.file} does not exist; the first server creates it"
    return f"{store.where} can be read and written"
