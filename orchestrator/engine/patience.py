"""Waiting for the store, in threads that have time: what they read must not be left out."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from orchestrator.core.errors import StoreAway

logger = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_SECONDS = 0.5


def when_reachable(read: Callable[[], T], given_up: threading.Event) -> T:
    """What ``read`` finds, however long that takes. Raise StoreAway once it is given up."""
    while True:
        try:
            return read()
        except StoreAway as error:
            logger.warning("the store is read again in a moment: %s", error)
            if given_up.wait(RETRY_SECONDS):
                raise
