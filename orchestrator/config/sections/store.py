"""The section ``store``."""

from pydantic import SecretStr

from orchestrator.config.fields.section import Section


class StoreSettings(Section):
    """Database with the state of all jobs."""

    url: SecretStr | None = None
    """Database: postgresql+psycopg://USER@HOST/NAME, used by no other server; null: SQLite."""
