"""Stores results of gates on base commits for later jobs: one small file for each result.

The key of a result consists of the commit, the gate's definition, the programs that the gate's
command names, and the project's installed packages. A result expires after a day, because the
result may also depend on an external service or on the time.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from shutil import which
from typing import Any

from orchestrator.core.gates.findings import Finding, FinishedRun, Reading
from orchestrator.core.gates.gate import Gate
from orchestrator.core.gates.gate_decision import has_no_details
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object

#: Name of the directory with the results, in the workspace.
FOLDER = "base_results"
#: Maximum age of a result, in seconds.
MOST_AGE = 86_400.0
#: Maximum number of results.
MOST_FILES = 500
#: Maximum size of a record in bytes. A larger record is not read, and the gate runs again.
MOST_BYTES = 64 * 1024 * 1024
#: Maximum number of words of a command that are checked for programs.
MOST_WORDS = 50
_WORD = re.compile(r"[\w.+/-]+")
#: Patterns of files that show which packages are installed. The patterns are relative to a virtual
#: environment, or to another directory that contains packages.
_INSTALLED = ("lib*/python*/site-packages/*.dist-info", "pyvenv.cfg")
_ENVIRONMENTS = (".venv", "venv")
_LOCKS = (
    *(
        "node_modules/.package-lock.json",
        "node_modules/.yarn-state.yml",
        "node_modules/.modules.yaml",
    ),
    *("package-lock.json", "yarn.lock", "pnpm-lock.yaml", "uv.lock", "poetry.lock", "Pipfile.lock"),
    *("Cargo.lock", "go.sum"),
)


class BaselineStore:
    """The stored results. Any thread may call.

    No method raises an error. If a stored result is unreadable, the gate runs again.
    """

    def __init__(
        self,
        folder: Path,
        project: Path,
        environment: Callable[[], Mapping[str, str]],
        set_up: object = (),
    ) -> None:
        """``environment``: returns the environment variables of gates.

        ``set_up``: the commands that prepare the worktrees of gates. A result's key includes these
        commands.
        """
        self._folder = folder
        self._project = project
        self._environment = environment
        self._set_up = set_up

    def stored(self, commit: str, gate: Gate) -> FinishedRun | None:
        path = self._result_path(commit, gate)
        try:
            if time.time() - path.stat().st_mtime > MOST_AGE:
                return None
            content = read_object(path, MOST_BYTES)
            return _finished_run(content) if content else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, commit: str, gate: Gate, ran: FinishedRun) -> None:
        """Store a gate's result on a commit. Do nothing if the gate did not judge the commit."""
        if not is_lasting(ran):
            return
        # Do not store the path of the log, because the log is removed with its job. Do not store
        # the executed files, because they are needed only for runs on a change.
        record = replace(ran, output=ran.output[-2000:], log="", executed=None)
        content = json.dumps(asdict(record))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._result_path(commit, gate), content.encode())
            remove_results(self._folder, time.time() - MOST_AGE, MOST_FILES)
        except OSError:
            return

    def _result_path(self, commit: str, gate: Gate) -> Path:
        # The key contains everything that affects the findings of the gate. Settings that only
        # decide whether findings count are not part of the key.
        key_parts = [commit, gate.name, gate.run, gate.report, gate.timeout, *self._toolchain(gate)]
        digest = sha256(json.dumps(key_parts, default=str).encode()).hexdigest()
        return self._folder / f"{digest[:32]}.json"

    def _toolchain(self, gate: Gate) -> Iterator[object]:
        yield self._set_up
        search_path = self._environment().get("PATH", os.defpath)
        words = dict.fromkeys([gate.program, *_WORD.findall(gate.run)][:MOST_WORDS])
        for program in filter(None, (which(word, path=search_path) for word in words if word)):
            yield from _program_stamps(Path(program))
        for name in _ENVIRONMENTS:
            yield from _package_stamps(self._project / name)
        yield from (_stamp(self._project / name) for name in _LOCKS)


def is_lasting(ran: FinishedRun) -> bool:
    """True if the run judged the commit. Only the result of such a run is stored.

    A gate that did not judge the commit may judge it in a later run, for example after the
    installation of a missing package.
    """
    did_not_judge = ran.broken or ran.reading.has_no_tests or has_no_details(ran.reading)
    return not did_not_judge


def remove_results(folder: Path, before: float, most: int = MOST_FILES) -> None:
    """Remove results that were stored before the Unix time ``before``. Idempotent.

    Then remove the oldest results until at most ``most`` results remain.
    """
    try:
        results = sorted((each.stat().st_mtime, each) for each in folder.glob("*.json"))
    except OSError:
        return  # Another thread is already removing files.
    excess = max(0, len(results) - most)
    for number, (stored_at, path) in enumerate(results):
        if number < excess or stored_at < before:
            path.unlink(missing_ok=True)


def _program_stamps(path: Path) -> Iterator[object]:
    """Yield values that change if the program's file or a package next to the file changes.

    The file alone is not enough: the start script of a Python program is often the same for all
    versions of the program's package.
    """
    yield str(path), _stamp(path)
    yield from _package_stamps(Path(os.path.realpath(path)).parent.parent)


def _package_stamps(prefix: Path) -> Iterator[object]:
    for pattern in _INSTALLED:
        yield sorted((each.name, _stamp(each)) for each in prefix.glob(pattern))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _finished_run(content: dict[str, Any]) -> FinishedRun:
    reading_fields = content["reading"]
    passed = reading_fields["passed"]
    passed_names = None if passed is None else tuple(passed)
    findings, skipped = _findings(reading_fields["findings"]), tuple(reading_fields["skipped"])
    reading = Reading(
        findings=findings, passed=passed_names, skipped=skipped, note=reading_fields["note"]
    )
    return FinishedRun(
        **{**content, "reading": reading, "rewritten": _findings(content["rewritten"])}
    )


def _findings(records: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding(**each) for each in records)
