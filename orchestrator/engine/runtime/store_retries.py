"""Repeats reads of the store while the store is unavailable."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from orchestrator.core.errors import StoreAway

logger = logging.getLogger(__name__)

#: Seconds between two reads while the store is unavailable.
RETRY_SECONDS = 0.5

T = TypeVar("T")


def when_reachable(read: Callable[[], T], given_up: threading.Event) -> T:
    """Call ``read`` until it succeeds, and return its result. Retry after StoreAway.

    If ``given_up`` is set, do not retry: raise StoreAway.
    """
    is_logged = False
    while True:
        try:
            return read()
        except StoreAway as error:
            if not is_logged:
                logger.warning("the store is unavailable; retrying: %s", error)
            is_logged = True
            if given_up.wait(RETRY_SECONDS):
                raise
