"""A damaged state file counts as missing, or its reader raises the error of its contract."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.agents.ai_tools.invocation.call import AgentLogin, CallLimits
from orchestrator.agents.availability.local_availability import installed_version
from orchestrator.agents.driver_process import logins, mailbox, spec_file
from orchestrator.agents.survey.analysis.result import (
    RESULT_FILE,
    SurveyResult,
    read_result,
    to_json,
)
from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.assignment.survey_task import TASK_FILE, read_task
from orchestrator.api.access.browser_sessions import FILE_NAME, BrowserSessions
from orchestrator.api.client import server_record
from orchestrator.cli.offline.jobs_on_disk import root_jobs
from orchestrator.cli.server.server_registry import ServerRegistry
from orchestrator.core.errors import ConfigError, Conflict, RepositoryError
from orchestrator.core.gates.findings import FinishedRun, Reading
from orchestrator.core.gates.gate import Gate
from orchestrator.core.model.attempt.delivered_work import HeldBack, HeldBackRule
from orchestrator.core.model.human_input.messages import (
    WorkerMessage,
    message_document,
    message_file_name,
)
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.user_repository_changes import (
    ChangedKind,
    RepositoryAlteration,
    RepositoryChange,
)
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.core.repository.landing import BegunLanding
from orchestrator.engine.gates.baseline_store import BaselineStore
from orchestrator.engine.merge.record.merge_record import MergeRecord, MergeRecords
from orchestrator.engine.runtime import clock
from orchestrator.engine.service.triggers import event_feedback
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.git.commits import held_back_files
from orchestrator.git.repair import git_directory_snapshot
from orchestrator.git.repair.user_repository_restore import RepositoryRestore
from orchestrator.git.worktrees import node_worktrees
from orchestrator.launchers.cluster.connection.node_registry import NodeRegistry
from orchestrator.launchers.cluster.connection.server_addresses import ServerAddresses
from orchestrator.launchers.cluster.file_transfer.server_files import stored_files
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempt
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.cluster.node.node_lease import NodeLease
from orchestrator.workspace.landing_journal import NAME as LANDINGS
from orchestrator.workspace.landing_journal import FileLandingJournal
from orchestrator.workspace.move_detection import WorkspaceLocation

NESTED = b"[" * 60_000
DAMAGED = {
    "nested": NESTED,
    "nested in a field": b'{"a": ' + NESTED,
    "nested and closed": NESTED + b"]" * 60_000,
    "not UTF-8": b'{"a": "\xff"}',
    "cut": b'{"a": ',
    "a list": b"[[]]",
    "a number": b"1",
}
COMMIT = "a" * 40


@dataclass(frozen=True)
class Reader:
    #: Path of the file below the test's directory.
    path: str
    #: Returns what the reader returns. Argument: the test's directory.
    read: Callable[[Path], object]
    valid: object
    #: The errors that the reader may raise if the file is damaged; None: it counts as missing.
    errors: type[Exception] | tuple[type[Exception], ...] | None = None
    #: False for a file that may be a link, because a user or another program creates the file.
    is_plain: bool = True


def merge_records(folder: Path) -> MergeRecords:
    workspace = SimpleNamespace(job_directory=lambda root_id: folder)
    return MergeRecords(cast(Any, workspace), lambda *args: None)


def baselines(folder: Path) -> BaselineStore:
    store = BaselineStore(folder, folder, lambda: {})
    # The name depends on the machine's tools.
    store._result_path = lambda commit, gate: folder / "baseline.json"  # type: ignore[method-assign]
    return store


def recorded_state(folder: Path) -> object:
    workspace = SimpleNamespace(control=lambda worker, attempt: folder / "w.1")
    changes = ChangesWithoutWorktree(folder, folder, cast(Any, None), cast(Any, workspace), ())
    return changes._recorded_state(cast(Worker, None), 1)


def restorable(folder: Path) -> object:
    change = RepositoryChange(
        kind=ChangedKind.PUSH, name="main", alteration=RepositoryAlteration.ADDED
    )
    restore = RepositoryRestore(project=folder, states_file=folder / "changes.json")
    return [restore.inspect([change]), restore._states]


def held(folder: Path) -> object:
    attempt = HeldAttempt("j/w/1", str(folder))
    attempt.load()
    return attempt.digest, attempt.bases, attempt.scratch, attempt.files


def place(folder: Path) -> object:
    found = WorkspaceLocation(folder, folder / "project")
    found.has_changed()
    return found.former


def version(folder: Path) -> str:
    return installed_version(str(folder / "node_modules" / "tool" / "cli.js"))


MESSAGE = WorkerMessage(id="m", at=1.0, by="x", text="y")
LANDING = BegunLanding(root_id="r", job_id="j", branch="main", at=1.0, by="x")
FILES = AttemptFiles(directories=("/w",))
HELD = HeldBack(path="a", rule=HeldBackRule.NAME)
RUN = FinishedRun(reading=Reading(passed=("a",)))
RECORD = {"url": "http://localhost:1", "project": "/p", "pid": os.getppid()}
SNAPSHOT = {"top": "t", "common": "c", "where": "w", "admin": "a", "stamps": {}, "files": {}}
JOIN = {"name": "n", "address": "h:1", "authority": "", "certificate": "", "key": ""}
SESSION = dict.fromkeys(("cookie_hash", "token_hash", "key_hash"), "x")
ADDRESSES = {"own": ["a:1"], "told": [], "used": ["b:1"], "answered": ""}
REMARK = {
    **dict.fromkeys(("by", "commit", "text", "summary", "path"), "x"),
    **{"line": 1, "end_line": 1, "is_old": False},
}

READERS = {
    "held-back files": Reader(
        held_back_files.NAME, held_back_files.noted, {"found": [asdict(HELD)], "promised": ["b"]}
    ),
    "snapshot of the git directory": Reader(
        "s.json", lambda at: git_directory_snapshot.read(at / "s.json"), SNAPSHOT
    ),
    "baselines": Reader(
        "baseline.json", lambda at: baselines(at).stored("c", Gate(name="g", run="r")), asdict(RUN)
    ),
    "state of the project": Reader(
        "w.1.project.json", recorded_state, {"files": {"a": "1"}, "commit": "c"}
    ),
    "landings": Reader(
        f"{LANDINGS}/j.json", lambda at: list(FileLandingJournal(at).begun()), asdict(LANDING)
    ),
    "servers of the user": Reader(
        "orchestrator/servers/a.json",
        lambda at: ServerRegistry({"XDG_STATE_HOME": str(at)}).others(),
        {**RECORD, "started_at": time.time()},
    ),
    "the server": Reader(server_record.RECORD_NAME, server_record.read_record, RECORD),
    "merge records": Reader(
        "reports/merge_j.json",
        lambda at: merge_records(at).read(cast(Job, SimpleNamespace(id="j", root_id="j"))),
        asdict(MergeRecord(job_id="j", strategy="s", base="b")),
    ),
    "clock": Reader("clock", lambda at: clock._stored_start(at / "clock"), ["boot", 1.0]),
    "location": Reader(".place", place, {"former": ["/x"]}),
    "files of an attempt on a node": Reader(
        "w.files.json", lambda at: stored_files(f"{at}/w.exit.json"), asdict(FILES)
    ),
    "browser sessions": Reader(
        FILE_NAME,
        lambda at: BrowserSessions(at)._sessions,
        [{**SESSION, "created_at": 1.0, "seen_at": 1.0}],
    ),
    "jobs on disk": Reader("job_1/status.json", root_jobs, {"job_id": "1"}),
    "addresses of the server": Reader(
        "addresses.json",
        lambda at: ServerAddresses(at, ["a:1"]).in_turn(),
        ADDRESSES,
    ),
    "lease": Reader("terms.json", lambda at: NodeLease(at).terms, {"lease": 9.0}),
    "attempts on a node": Reader(
        "launch.json",
        held,
        {"digest": "d", "bases": {}, "scratch": "s", "files": asdict(FILES)},
    ),
    "messages": Reader(
        message_file_name("m"),
        lambda at: mailbox.Mailbox(
            at, lambda ids: None, lambda line: None, resumed=False
        ).fetch_new(),
        json.loads(message_document(MESSAGE)),
    ),
    "remarks": Reader(
        "g/a.json",
        lambda at: list(event_feedback._stored_remarks(at / "g")),
        REMARK,
        is_plain=False,
    ),
    "package of a tool": Reader(
        "node_modules/tool/package.json", version, {"version": "1"}, is_plain=False
    ),
    "states before a job": Reader("changes.json", restorable, {"a": ["1", "2"]}, Conflict),
    "state of a worktree": Reader(
        node_worktrees._STATE,
        lambda at: node_worktrees._state_of(str(at)),
        {"head": COMMIT, "changes": COMMIT},
        RepositoryError,
    ),
    "side work of a worktree": Reader(
        node_worktrees._SIDE_WORK,
        lambda at: node_worktrees._side_work_of(str(at)),
        {"refs": {}, "left": [COMMIT], "entries": []},
        RepositoryError,
    ),
    "nodes": Reader(
        "nodes.json", lambda at: NodeRegistry(at).addresses, {"address": "a"}, ConfigError, False
    ),
    "join file": Reader(
        "join.json", lambda at: JoinFile.read(at / "join.json"), JOIN, ConfigError, False
    ),
    "spec": Reader(
        spec_file.NAME,
        spec_file.read,
        {"agent": "a", "tool": "t", "command": [], "limits": asdict(CallLimits())},
        (ValueError, KeyError, TypeError),
        False,
    ),
    "survey task": Reader(TASK_FILE, read_task, {"title": "t"}, SurveyError, False),
    "survey result": Reader(
        RESULT_FILE, read_result, to_json(SurveyResult(mode="x")), SurveyError, False
    ),
}
each_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


def made_path(reader: Reader, folder: Path) -> Path:
    path = folder / reader.path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def missing(reader: Reader, folder: Path) -> object:
    return reader.read(folder) if reader.errors is None else None


def check(reader: Reader, folder: Path, expected: object) -> None:
    if reader.errors is None:
        assert reader.read(folder) == expected
    else:
        with pytest.raises(reader.errors):
            reader.read(folder)


@each_reader
def test_a_valid_file_is_read(reader: Reader, tmp_path: Path) -> None:
    path = made_path(reader, tmp_path)
    before = missing(reader, tmp_path)

    path.write_text(json.dumps(reader.valid))

    assert reader.read(tmp_path) != before


@each_reader
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_counts_as_missing_or_is_rejected(
    reader: Reader, content: bytes, tmp_path: Path
) -> None:
    path = made_path(reader, tmp_path)
    before = missing(reader, tmp_path)

    path.write_bytes(content)

    check(reader, tmp_path, before)


INFINITE, TOO_LARGE = float("inf"), 10**400
WRONG_FIELDS = [
    ("the server", {**RECORD, "pid": INFINITE}),
    ("the server", {**RECORD, "former_ports": [INFINITE]}),
    ("servers of the user", {**RECORD, "started_at": 1.0, "pid": INFINITE}),
    ("servers of the user", {**RECORD, "started_at": TOO_LARGE}),
    ("location", {"former": 5}),
    ("location", {"former": [5]}),
    ("location", {"project": 5}),
    ("snapshot of the git directory", {**SNAPSHOT, "files": {"a": ["x"]}}),
    ("held-back files", {"found": 5}),
    ("held-back files", {"found": [5], "promised": ["b"]}),
    ("addresses of the server", {**ADDRESSES, "told": 5}),
    ("addresses of the server", {**ADDRESSES, "used": [5]}),
    ("addresses of the server", {**ADDRESSES, "used": "b:1"}),
    ("addresses of the server", {**ADDRESSES, "answered": ["b:1"]}),
    ("clock", ["boot", INFINITE]),
    ("clock", ["boot"]),
    ("clock", ["boot", TOO_LARGE]),
]


@pytest.mark.parametrize(("name", "content"), WRONG_FIELDS)
def test_a_file_with_wrong_fields_counts_as_missing(
    name: str, content: object, tmp_path: Path
) -> None:
    reader = READERS[name]
    path = made_path(reader, tmp_path)
    before = missing(reader, tmp_path)

    path.write_text(json.dumps(content))

    check(reader, tmp_path, before)


@pytest.mark.parametrize(
    "reader", [pytest.param(each, id=name) for name, each in READERS.items() if each.is_plain]
)
@pytest.mark.parametrize("kind", ["link", "directory"])
def test_a_link_or_a_directory_counts_as_missing_or_is_rejected(
    reader: Reader, kind: str, tmp_path: Path
) -> None:
    path = made_path(reader, tmp_path)
    before = missing(reader, tmp_path)

    if kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "other").write_text(json.dumps(reader.valid))
        path.symlink_to(tmp_path / "other")

    check(reader, tmp_path, before)


def test_a_renewed_login_that_is_nested_too_deeply_is_not_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "source.json", tmp_path / "target.json"
    source.write_text("{}")
    os.utime(source, (1, 1))
    target.write_bytes(NESTED)

    logins.recover([AgentLogin(source=source, target=target)], tmp_path, [tmp_path])

    assert source.read_text() == "{}"
