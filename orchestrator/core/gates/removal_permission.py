"""Decides which tests of the base commit a change may remove. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from posixpath import dirname, splitext

from orchestrator.core.gates.file_kinds import is_of_tests
from orchestrator.core.gates.gate import AlterationPermission, Gate, GateReport
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.path_patterns import matches

_GO_TEST = "_test.go"
#: Maximum number of files that the advice on a finding names.
MOST_ADVISED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalPermission:
    """Permission for a change to remove tests of the base commit.

    The tasks that made the change give the permission.
    """

    #: The changed files that can remove tests, by path. The value is True if a task may alter the
    #: file.
    files: Mapping[str, bool] = field(default_factory=dict)

    @property
    def allows_all(self) -> bool:
        return bool(self.files) and all(self.files.values())

    def forbidden(self, tests: Iterable[str]) -> list[str]:
        """Return the items of ``tests`` that the change may not remove."""
        return [each for each in tests if not self._allows(each)]

    def unaffected(self, tests: Sequence[str], known: Sequence[str]) -> list[str]:
        """Return the items of ``tests`` that no file of ``self.files`` can affect.

        A file with tests affects only its own tests. A file without tests, such as a helper that
        many tests import, can affect any test. If ``self.files`` has a file without tests, the
        result is therefore empty. ``known``: all tests of the base.
        """
        unaffected = [each for each in tests if not any(_holds(path, each) for path in self.files)]
        if not unaffected or not all(
            any(_holds(path, each) for each in known) for path in self.files
        ):
            return []
        return unaffected

    def advice(self, tests: Iterable[str]) -> str:
        """Return advice for the user: the settings that allow a task to remove the tests."""
        paths = (path for each in tests for path in self._files_of(each))
        return how_to_allow([path for path in dict.fromkeys(paths) if not self.files[path]], VANISH)

    def _allows(self, test: str) -> bool:
        """True if the tasks may remove the test.

        If the test's file is unknown, the result is True only if the tasks may alter every file
        that can contain the test.
        """
        paths = self._files_of(test)
        return bool(paths) and all(self.files[path] for path in paths)

    def _files_of(self, test: str) -> Sequence[str]:
        files = [path for path in self.files if _holds(path, test)]
        return files or [*self.files]


#: Settings that allow every task to remove tests, and to change tests.
VANISH, CHANGE = "gates.tests_may_vanish", "gates.tests_may_change"


def how_to_allow(paths: Sequence[str], setting: str) -> str:
    """Return advice for the user: the settings that allow a task to alter the files ``paths``.

    ``setting``: the setting of config.yaml that allows this for every task; "" if there is none.
    """
    task_advice = f"add writes: [{', '.join(paths[:MOST_ADVISED])}] to the task" if paths else ""
    general_advice = f"set {setting}: true in config.yaml" if setting else ""
    return f"to allow this change: {', or '.join(filter(None, [task_advice, general_advice]))}"


def removal_permission(
    gate: Gate, touched: Mapping[str, bool], permissions: Sequence[AlterationPermission]
) -> RemovalPermission:
    """Return the permission of a change to remove tests of the base commit.

    ``touched``: the changed paths; the value is True if the base has the path. ``permissions``: the
    permissions of the tasks that made the change.
    """
    files = (path for path, is_on_base in touched.items() if can_remove(gate, path, is_on_base))
    return RemovalPermission(
        files={path: any(_may_alter(gate, path, each) for each in permissions) for path in files}
    )


def can_remove(gate: Gate, path: str, is_on_base: bool) -> bool:
    """True if a change of the file ``path`` can remove tests from the gate's runs.

    ``is_on_base``: True if the base has the file.
    """
    if matches(path, gate.configured_by):
        return True
    # In Go, a new test file can have ``TestMain``, which decides if the package's tests run.
    is_of_go = gate.report is GateReport.GO and path.endswith(_GO_TEST)
    return is_of_go or (is_on_base and _may_hold_tests(path))


def _may_hold_tests(path: str) -> bool:
    folded = path.casefold()
    # Rust sources contain their tests.
    return "test" in folded or "spec" in folded or folded.endswith(".rs")


def _may_alter(gate: Gate, path: str, permission: AlterationPermission) -> bool:
    if path in permission.judged or matches(path, permission.writes):
        return True
    return permission.tests and (is_of_tests(path) or not matches(path, gate.configured_by))


def _holds(path: str, test: str) -> bool:
    """True if the file can contain the test, by the test's name.

    The name begins with the file's path, or with its module or package.
    """
    if test.startswith(f"{path}::"):
        return True
    place = test.rpartition("::")[0]
    if path.endswith(_GO_TEST):
        return _ends_with(place, dirname(path), "/")
    module = splitext(path)[0].replace("/", ".")
    parts = place.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return any(_ends_with(module, prefix, ".") for prefix in prefixes if prefix)


def _ends_with(whole: str, end: str, separator: str) -> bool:
    return whole == end or whole.endswith(f"{separator}{end}")
