"""An example of each message between server and node, with its JSON."""

from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, LeftoverProcess
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Launch, Proof
from orchestrator.core.ports.worktree_transfer import AttemptFiles, FileChange, WorktreeFiles
from orchestrator.launchers.cluster.connection.messages import (
    AddressesChanged,
    AddressesStored,
    AgentReport,
    AgentsFound,
    ArchiveFigures,
    AttemptStarted,
    AttemptWaiting,
    ChangeAnswer,
    ChangeRequest,
    EndReport,
    EndStored,
    FilesNotReturned,
    FilesPiece,
    FilesReceived,
    Heartbeat,
    HeartbeatAnswer,
    HeartbeatsExpected,
    Hello,
    LateFile,
    NodeLeaving,
    NodeMessage,
    NodeUnfit,
    NoResult,
    OutputPiece,
    OutputReceived,
    Rejection,
    RequestedContainment,
    ResendFiles,
    ResultPiece,
    ServerMessage,
    SnapshotAnswer,
    SnapshotPiece,
    SnapshotReceived,
    SnapshotRequest,
    StartAttempt,
    StopAttempt,
    TunnelData,
    Welcome,
)
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.containment.containment_settings import Mode, Sandbox, WorkerLimits

HELLO = (
    '{"is": "hello", "name": "n1", "instance": "00ff", "version": "1.2.0", "code": "0123abcd", '
    '"python": [3, 11], "uid": 1000, "own_files": true, "known": ["c0ffee"], "slots": 4, '
    '"time": 1700000000.5, "attempts": {"j/w/1": {"log": 5, "raw": 0, "files": 0}}}'
)
WELCOME = (
    '{"do": "welcome", "terms": {"beat": 0.5, "notice": 2.0, "lease": 8.0, "slack": 2.5, '
    '"absence": 0.0, "refusal_is_absence": true}, "files": {"j/w/1": {"log": 7, "raw": 0}}, '
    '"late": {"j/w/2": {"log": 0, "raw": 0}}, "addresses": ["head.lan:8786"], '
    '"containment": {"mode": "auto", "strict": false, "limits": {"cpu": 0.5, "memory": 1024, '
    '"processes": null, "file_size": null, "open_files": null}, "sandbox": {"network": true, '
    '"hide": ["/a"], "writable": [], "visible": [], "needed": [], "program": ""}}, '
    '"agents": [{"name": "shell", "more": [1]}], "environment": {"PATH": "/bin"}, '
    '"workspace": "/w", "shared": ["/p"], "mark_name": ".cluster", "mark": "11", '
    '"places": {"project": ["/p", "/q"]}}'
)
LAUNCH = (
    '{"attempt_id": "j/w/1", "argv": ["sh", "-c", "\\udcff"], "cwd": "/w", "make_cwd": false, '
    '"env": {"PATH": "/bin"}, "stdin": null, "log": "/l", "exit_path": "/e", '
    '"proof": {"digest": "d", "secret": "s"}, "timeout": 300.0, "grace": 5.0, "umask": null, '
    '"log_limit_bytes": 52428800, "secrets": ["x"], "lease_lock": "", "lease_seconds": 0.0, '
    '"lease_file": "", "node": "", "files": null}'
)
FILES = (
    '{"directories": ["/w/j"], "inputs": [], "texts": ["/w/j/prompt.md"], "left_out": [], '
    '"worktree": {"directory": "/w/j/t", "branch": "refs/heads/b", "commit": "c", "promised": []}}'
)
EXIT = (
    '{"ended_by": "exit", "code": 3, "signal": null, "cause": "", "error": "", "stopped_by": "", '
    '"started_at": 1.0, "ended_at": 2.5, "cpu_seconds": 0.0, "peak_memory_bytes": 0, '
    '"log_bytes": 7, "log_truncated": false, "log_lost": false, '
    '"strays": [{"pid": 9, "command": "sleep"}], "containment": "cgroup"}'
)
_EXIT = Exit(
    ended_by=EndedBy.EXIT,
    code=3,
    started_at=1.0,
    ended_at=2.5,
    log_bytes=7,
    strays=(LeftoverProcess(pid=9, command="sleep"),),
    containment="cgroup",
)
_LAUNCH = Launch(
    attempt_id="j/w/1",
    argv=("sh", "-c", "\udcff"),
    cwd="/w",
    env={"PATH": "/bin"},
    log="/l",
    exit_path="/e",
    proof=Proof("d", "s"),
    timeout=300.0,
    secrets=("x",),
)
_FILES = AttemptFiles(
    directories=("/w/j",),
    texts=("/w/j/prompt.md",),
    worktree=WorktreeFiles(directory="/w/j/t", branch="refs/heads/b", commit="c"),
)
_BASES = {"log": 5, "raw": 0}

FROM_NODE: tuple[tuple[NodeMessage, str], ...] = (
    (
        Hello(
            name="n1",
            instance="00ff",
            version="1.2.0",
            code="0123abcd",
            python=(3, 11),
            uid=1000,
            own_files=True,
            known=("c0ffee",),
            slots=4,
            time=1_700_000_000.5,
            attempts={"j/w/1": {"log": 5, "raw": 0, "files": 0}},
        ),
        HELLO,
    ),
    (
        Heartbeat(1, 8_000_000_000, None),
        '{"is": "beat", "n": 1, "memory": 8000000000, "disk": null}',
    ),
    (
        AgentsFound((AgentReport("shell", "no program", ("install it",), ""),)),
        '{"is": "agents", "agents": [{"name": "shell", "reason": "no program", '
        '"fix": ["install it"], "login": ""}]}',
    ),
    (NodeUnfit("no workspace"), '{"is": "unfit", "why": "no workspace"}'),
    (NodeLeaving(), '{"is": "leaving"}'),
    (FilesReceived(65536), '{"is": "had", "bytes": 65536}'),
    (AttemptStarted("j/w/1", 77), '{"is": "started", "attempt": "j/w/1", "pid": 77}'),
    (
        OutputPiece("j/w/1", "log", 7, b"\0out"),
        '{"is": "piece", "attempt": "j/w/1", "file": "log", "at": 7, "data": "AG91dA=="}',
    ),
    (
        EndReport("j/w/1", _EXIT, '{"a": 1}', None),
        f'{{"is": "ended", "attempt": "j/w/1", "exit": {EXIT}, "record": "{{\\"a\\": 1}}", '
        '"files": null}',
    ),
    (
        EndReport("j/w/1", _EXIT, "", ArchiveFigures(9, "ab")),
        f'{{"is": "ended", "attempt": "j/w/1", "exit": {EXIT}, "record": "", '
        '"files": {"bytes": 9, "digest": "ab"}}',
    ),
    (
        EndReport("j/w/1", _EXIT, "", FilesNotReturned("disk full")),
        f'{{"is": "ended", "attempt": "j/w/1", "exit": {EXIT}, "record": "", '
        '"files": {"error": "disk full"}}',
    ),
    (NoResult("j/w/1"), '{"is": "no_result", "attempt": "j/w/1"}'),
    (AddressesStored(("h:1",)), '{"is": "addresses", "addresses": ["h:1"]}'),
    (TunnelData(2, b"GET"), '{"is": "tcp", "connection": 2, "data": "R0VU"}'),
    (TunnelData(2, None), '{"is": "tcp", "connection": 2, "data": null}'),
    (
        SnapshotPiece("j/w/1", 3, 0, b"x"),
        '{"is": "snapshot", "attempt": "j/w/1", "n": 3, "at": 0, "data": "eA=="}',
    ),
    (
        SnapshotAnswer("j/w/1", 3, sent=ArchiveFigures(9, "ab")),
        '{"is": "snapshot", "attempt": "j/w/1", "n": 3, "sent": {"bytes": 9, "digest": "ab"}}',
    ),
    (
        SnapshotAnswer("j/w/1", 3, ended=True),
        '{"is": "snapshot", "attempt": "j/w/1", "n": 3, "ended": true}',
    ),
    (
        SnapshotAnswer("j/w/1", 3, error="no space", is_full=True),
        '{"is": "snapshot", "attempt": "j/w/1", "n": 3, "error": "no space", "is_full": true}',
    ),
    (ChangeAnswer("j/w/1", 4), '{"is": "brought", "attempt": "j/w/1", "n": 4}'),
    (
        ChangeAnswer("j/w/1", 4, refused="a.txt would be overwritten"),
        '{"is": "brought", "attempt": "j/w/1", "n": 4, "refused": "a.txt would be overwritten"}',
    ),
)
FROM_SERVER: tuple[tuple[ServerMessage, str], ...] = (
    (
        Welcome(
            terms=NodeLeaseTerms(),
            files={"j/w/1": {"log": 7, "raw": 0}},
            late={"j/w/2": {"log": 0, "raw": 0}},
            addresses=("head.lan:8786",),
            containment=RequestedContainment(
                mode=Mode.AUTO,
                strict=False,
                limits=WorkerLimits(cpu=0.5, memory=1024),
                sandbox=Sandbox(hide=("/a",)),
            ),
            agents=({"name": "shell", "more": [1]},),
            environment={"PATH": "/bin"},
            workspace="/w",
            shared=("/p",),
            mark_name=".cluster",
            mark="11",
            places={"project": ("/p", "/q")},
        ),
        WELCOME,
    ),
    (Rejection("update n1"), '{"do": "refused", "why": "update n1"}'),
    (HeartbeatAnswer(1, True), '{"do": "ok", "n": 1, "idle": true}'),
    (HeartbeatsExpected(), '{"do": "expect"}'),
    (
        FilesPiece("j/w/1", 0, b"x"),
        '{"do": "files", "attempt": "j/w/1", "at": 0, "data": "eA=="}',
    ),
    (
        StartAttempt(_LAUNCH, _BASES, None),
        f'{{"do": "start", "launch": {LAUNCH}, "bases": {{"log": 5, "raw": 0}}, "files": null}}',
    ),
    (
        StartAttempt(_LAUNCH, _BASES, _FILES, ArchiveFigures(9, "ab")),
        f'{{"do": "start", "launch": {LAUNCH}, "bases": {{"log": 5, "raw": 0}}, '
        f'"files": {FILES}, "sent": {{"bytes": 9, "digest": "ab"}}}}',
    ),
    (
        StopAttempt("j/w/1", EndedBy.CANCEL, "user", ExitCause.NONE),
        '{"do": "stop", "attempt": "j/w/1", "ended_by": "cancel", "stopped_by": "user", '
        '"cause": ""}',
    ),
    (AttemptWaiting("j/w/1", True), '{"do": "waiting", "attempt": "j/w/1", "on": true}'),
    (OutputReceived(7), '{"do": "got", "bytes": 7}'),
    (ResendFiles("j/w/1"), '{"do": "again", "attempt": "j/w/1"}'),
    (EndStored("j/w/1"), '{"do": "kept", "attempt": "j/w/1"}'),
    (AddressesChanged(("h:1", "i:2")), '{"do": "addresses", "addresses": ["h:1", "i:2"]}'),
    (TunnelData(2, b"HTTP"), '{"is": "tcp", "connection": 2, "data": "SFRUUA=="}'),
    (SnapshotRequest("j/w/1", 3), '{"do": "snapshot", "attempt": "j/w/1", "n": 3}'),
    (SnapshotReceived(8), '{"do": "had", "bytes": 8}'),
    (
        LateFile("j/w/1", "/w/j/note", b"x"),
        '{"do": "file", "attempt": "j/w/1", "path": "/w/j/note", "data": "eA=="}',
    ),
    (
        ResultPiece("j/w/1", 0, b"x"),
        '{"do": "result", "attempt": "j/w/1", "at": 0, "data": "eA=="}',
    ),
    (
        ChangeRequest(
            FileChange(now="a", then="b", branches={"refs/heads/x": "c"}),
            ArchiveFigures(9, "ab"),
            "j/w/1",
            4,
        ),
        '{"do": "bring", "change": {"now": "a", "then": "b", "branches": {"refs/heads/x": "c"}}, '
        '"sent": {"bytes": 9, "digest": "ab"}, "attempt": "j/w/1", "n": 4}',
    ),
)
