"""How many examples a property or a random walk gets: few by day, the full number at night."""

import os

#: True for ./run-tests.sh --nightly, and for a search for new examples.
AT_NIGHT = bool(os.environ.get("ORCHESTRATOR_TEST_NIGHT") or os.environ.get("HYPOTHESIS_SEARCH"))


def examples(by_day: int, at_night: int) -> int:
    return at_night if AT_NIGHT else by_day
