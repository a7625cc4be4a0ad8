"""Files of test suites, by their paths. Pure."""

import re
from collections.abc import Iterable, Iterator

#: Files that pytest reads by their names.
PYTEST = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_test|conftest)\.py")
#: Files that jest, vitest, and ``node --test`` run by their names.
JAVASCRIPT = re.compile(r"(?:.*/)?[^/]*[.-](?:test|spec)\.[cm]?[jt]sx?")
_DJANGO = re.compile(r"(?:.*/)?tests\.py")
_GO = re.compile(r"(?:.*/)?[^/]*_test\.go")
#: Directories that hold tests with their data, helpers, and snapshots.
_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "__snapshots__", "testdata"})
#: Directories whose tests are not the project's: pytest leaves most of them out, too.
_FOREIGN = frozenset(
    {"node_modules", "vendor", "third_party", "site-packages", "venv", "build", "dist"}
    | {"fixtures", "testdata", "templates", "__fixtures__", "__mocks__"}
)


def is_of_tests(path: str) -> bool:
    """True for a file that is a test, or that tests read: data, helpers, and snapshots."""
    *above, _ = path.split("/")
    named = any(each.fullmatch(path) for each in (PYTEST, _DJANGO, JAVASCRIPT, _GO))
    return named or not _FOLDERS.isdisjoint(above)


def own(paths: Iterable[str], kind: re.Pattern[str]) -> Iterator[str]:
    """The project's files of one kind, those nearest to its top first."""
    for path in sorted(paths, key=lambda each: (each.count("/"), each)):
        if kind.fullmatch(path) and not is_foreign(path):
            yield path


def is_foreign(path: str) -> bool:
    """True for vendored and generated files, templates, and hidden directories."""
    return any(each in _FOREIGN or each.startswith(".") for each in path.split("/")[:-1])
