"""URLs of databases that the store rejects."""

import pytest

from orchestrator.core.errors import StoreError
from orchestrator.store import SqlStore


@pytest.mark.parametrize("url", ["postgres://a@b/c", "mysql://a@b/c", "a database"])
def test_the_url_of_another_database_is_rejected_with_the_supported_ones(url: str) -> None:
    with pytest.raises(StoreError, match="postgresql\\+psycopg://user@host/database"):
        SqlStore(url).open()
