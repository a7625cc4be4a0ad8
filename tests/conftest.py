"""Fixtures and options of all tests: everyday tests, fixed examples, and hidden agents.

Each run has the same examples, so that a failed run can be repeated. HYPOTHESIS_SEARCH=1 searches
for new examples instead. The nightly run has more examples: ``tests/support/examples.py``.
"""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from orchestrator.core.model.known_agents import KNOWN
from tests.faults.zygote import Zygote
from tests.support.examples import examples
from tests.support.programs import require_programs

# Off during the collection of tests: the collector took a quarter of its time for a million new
# objects.
gc.disable()

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=examples(30, 100)
)
if not os.environ.get("HYPOTHESIS_SEARCH"):
    settings.load_profile("repeatable")

#: The user who runs the tests may have logins and keys, but no test may find a real agent.
for _agent in KNOWN:
    for _name in _agent.credentials:
        os.environ.pop(_name, None)
for _name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"):
    os.environ[_name] = "/nonexistent"
os.environ["OLLAMA_HOST"] = "127.0.0.1:9"
#: A shell without job control makes background programs ignore SIGINT. All programs that a test
#: starts would inherit this.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """One zygote for all tests of a process, because its start takes longer than its forks."""
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(autouse=True)
def needed(request: pytest.FixtureRequest) -> None:
    for marker in request.node.iter_markers("needs"):
        require_programs(request.getfixturevalue("monkeypatch"), *marker.args)


HERE = Path(__file__).parent
#: Paths with everyday tests (./run-tests.sh --quick): unit tests, contracts, and the main path of
#: the job manager with real processes.
EVERYDAY = tuple(HERE / each for each in ("unit", "contract", "integration/engine/test_tasks.py"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m "not slow"``, do not import modules without everyday tests."""
    left_out = str(config.getoption("markexpr")).startswith("not slow")
    return True if left_out and not may_have_everyday_tests(collection_path) else None


def may_have_everyday_tests(path: Path) -> bool:
    return any(path.is_relative_to(each) or each.is_relative_to(path) for each in EVERYDAY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not _is_everyday(item):
            item.add_marker(pytest.mark.slow)
    # Tests that may take minutes start first, so that the end of the run does not wait for one of
    # them. Tests that read the product's source follow: one process gets all of them, so that the
    # source is parsed once.
    items.sort(key=lambda item: (_allowed_seconds(item), _reads_source(item)), reverse=True)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def _allowed_seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def _reads_source(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and any(
        hasattr(item.module, name) for name in ("source_nodes", "modules")
    )


def _is_everyday(item: pytest.Item) -> bool:
    if "postgresql" in item.name:
        return False
    return any(item.path.is_relative_to(each) for each in EVERYDAY)
