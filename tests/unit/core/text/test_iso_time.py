"""Times as text."""

from orchestrator.api.serializers.answer_parts import moment
from orchestrator.core.text.iso_time import iso


def test_times_are_those_of_the_api() -> None:
    for at in (1_764_180_000.123, 1_764_180_000.1239998, 1_764_180_000.9999998):
        assert iso(at) == moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
