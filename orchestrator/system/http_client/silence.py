"""Reports that a call to a server has had no answer for some seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds without an answer before the report. Most calls are answered earlier.
SILENT_SECONDS = 3.0


@contextmanager
def reported_silence(report: Callable[[], object] | None) -> Iterator[None]:
    """Call ``report`` in another thread if the ``with`` block lasts for some seconds."""
    if report is None:
        yield
        return
    # Imported here, because programs that must start fast use this package, too.
    from threading import Timer

    timer = Timer(SILENT_SECONDS, report)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
