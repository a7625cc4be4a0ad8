"""Messages between server and node: a class for each kind, and their JSON.

A message is a JSON object. The fields of its class are the fields of the object. A field with the
default value is omitted. The kind of a node's message is in the field ``is``, the kind of a
server's message in the field ``do``. ``_FROM_NODE`` and ``_FROM_SERVER`` list the kinds.

A node sends ``Hello`` first. The server answers with ``Welcome`` or ``Rejection``. The server
rejects nodes of other releases (``Release``), so all other messages may change with each release.

A node repeats ``EndReport`` on each new connection until the server has answered ``EndStored``. If
the server expects an attempt that the node does not know, the attempt never started on the node:
``StartAttempt`` was lost with the connection.

Only nodes with their own file systems get ``FilesPiece``, before ``StartAttempt``. After an
attempt, such a node packs the attempt's files into an archive, and sends the archive in
``OutputPiece`` messages whose ``file`` is "files". Then it sends ``EndReport`` with the archive's
digest.

``SnapshotRequest`` asks such a node for the state of a running attempt's worktree. The node sends
an archive in ``SnapshotPiece`` messages, and then ``SnapshotAnswer`` with the archive's digest. To
change the worktree's files, the server sends the commits in ``ResultPiece`` messages, and then
``ChangeRequest``. If the connection breaks, the server does not repeat these requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any, TypeVar

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.worktree_transfer import AttemptFiles, FileChange
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.typed_json import (
    Conversion,
    Count,
    WrongType,
    plain,
    typed,
)
from orchestrator.launchers.containment.containment_settings import Mode, Sandbox, WorkerLimits
from orchestrator.launchers.exit_record.exit_record import exit_from

_Kind = TypeVar("_Kind")

#: Sizes or positions in the output files of an attempt (``log``, ``raw``) and in the archive of its
#: files (``files``), by these names.
FilePositions = Mapping[str, Count]


class InvalidMessage(OrchestratorError):
    """Another machine sent a message that is not valid."""


def _ascii(value: str) -> str:
    return value.encode("ascii").decode("ascii")


@dataclass(frozen=True, slots=True)
class ArchiveFigures:
    """Size in bytes and SHA-256 of an archive."""

    bytes: Count
    digest: str


# From node to server


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """The fields of ``Hello`` that all releases send."""

    version: str
    #: Major and minor version of Python.
    python: tuple[int, int]
    #: Fingerprint of the node's code; empty: the node's release sends no fingerprint.
    code: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """The first message of a node."""

    name: str
    #: Random id of the node's state directory.
    instance: str
    version: str
    code: str
    python: tuple[int, int]
    uid: int
    #: True if the node does not share the server's file system.
    own_files: bool
    #: Commits of the project that the node has.
    known: tuple[str, ...]
    slots: Count
    #: The node's clock, as Unix time.
    time: float
    #: For each attempt on the node, by output file: the position in the server's file at which the
    #: attempt's output begins.
    attempts: Mapping[str, FilePositions]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    #: Number of the heartbeat.
    n: Count
    #: Available memory and free disk space in bytes; None: unknown.
    memory: Count | None
    disk: Count | None


@dataclass(frozen=True, slots=True)
class AgentReport:
    name: str
    #: Why the agent cannot work on the node; empty if the agent can work.
    reason: str
    #: The steps that make the agent work.
    fix: tuple[str, ...]
    #: A value that changes when the agent's login changes.
    login: str


@dataclass(frozen=True, slots=True)
class AgentsFound:
    agents: tuple[AgentReport, ...]


@dataclass(frozen=True, slots=True)
class NodeUnfit:
    """The node cannot run workers, and ends."""

    why: str


@dataclass(frozen=True, slots=True)
class NodeLeaving:
    """The node stops its workers, and ends."""


@dataclass(frozen=True, slots=True)
class FilesReceived:
    """Confirms bytes of ``FilesPiece`` or ``ResultPiece`` messages."""

    bytes: Count


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    attempt: str
    pid: Count


@dataclass(frozen=True, slots=True)
class OutputPiece:
    attempt: str
    #: The file to which the piece belongs: ``log``, ``raw``, or ``files`` (see FilePositions).
    file: str
    #: Position of the piece, counted from the beginning of the attempt's output.
    at: Count
    data: bytes


@dataclass(frozen=True, slots=True)
class FilesNotReturned:
    """The reason why the node does not return an attempt's files."""

    error: str


@dataclass(frozen=True, slots=True)
class EndReport:
    attempt: str
    exit: Annotated[Exit, Conversion(exit_from, "the end of an attempt")]
    #: The exit record; empty if the attempt has no exit record.
    record: Annotated[str, Conversion(_ascii, "ASCII text")]
    #: The archive of the attempt's files; None if the node has no files to return.
    files: ArchiveFigures | FilesNotReturned | None


@dataclass(frozen=True, slots=True)
class NoResult:
    """The node has no result of an attempt that the server counted as lost."""

    attempt: str


@dataclass(frozen=True, slots=True)
class AddressesStored:
    """The node has stored the server's addresses."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotPiece:
    attempt: str
    #: Number of the request.
    n: Count
    #: Position of the piece in the archive.
    at: Count
    data: bytes


@dataclass(frozen=True, slots=True)
class SnapshotAnswer:
    """The answer to ``SnapshotRequest``: the archive, the attempt's end, or an error."""

    attempt: str
    n: Count
    sent: ArchiveFigures | None = None
    ended: bool = False
    error: str = ""
    #: True if the error is a full disk.
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class ChangeAnswer:
    """The answer to ``ChangeRequest``: success, git's refusal, the attempt's end, or an error."""

    attempt: str
    n: Count
    #: Why git did not change the files.
    refused: str = ""
    ended: bool = False
    error: str = ""
    #: True if the error is a full disk.
    is_full: bool = False


# In both directions


@dataclass(frozen=True, slots=True)
class TunnelData:
    """Data of a worker's connection to the server's API."""

    connection: Count
    #: The bytes that were sent; None: the connection has ended.
    data: bytes | None


# From server to node


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedContainment:
    """The containment of workers that the server's settings request."""

    mode: Mode
    strict: bool
    limits: WorkerLimits
    sandbox: Sandbox


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """The answer to ``Hello``: the server accepts the node."""

    terms: NodeLeaseTerms
    #: For each attempt that the server expects: the number of bytes of each file that the server
    #: has received.
    files: Mapping[str, FilePositions]
    #: For each attempt that the server counted as lost, and whose result the server still accepts:
    #: the number of bytes of each file that the node need not send again.
    late: Mapping[str, FilePositions]
    #: All addresses of the server.
    addresses: tuple[str, ...]
    containment: RequestedContainment
    #: Descriptions of the agents. A node uses them to find its installed agents.
    agents: tuple[Mapping[str, Any], ...]
    #: Variables of the server's environment. In workers' environments, the node's values replace
    #: these values.
    environment: Mapping[str, str]
    workspace: str
    #: Paths outside the workspace that workers use, such as the project's.
    shared: tuple[str, ...]
    #: Name and content of a file in the workspace, by which the node recognizes the workspace.
    mark_name: str
    mark: str
    #: The server's paths of ``workspace``, ``project``, ``home``, and ``python``: each as set, and
    #: with links resolved. A node with its own file system replaces the paths.
    places: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Rejection:
    """The answer to ``Hello``: the server does not accept the node."""

    why: str


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    #: Number of the heartbeat.
    n: Count
    #: True if the node has no workers, and may send few heartbeats.
    idle: bool


@dataclass(frozen=True, slots=True)
class HeartbeatsExpected:
    """Asks an idle node for more heartbeats."""


@dataclass(frozen=True, slots=True)
class FilesPiece:
    attempt: str
    #: Position of the piece in the archive.
    at: Count
    data: bytes


@dataclass(frozen=True, slots=True)
class StartAttempt:
    launch: Launch
    #: Size of each output file on the server.
    bases: FilePositions
    #: The attempt's files, which ``FilesPiece`` messages have brought; None: the node shares the
    #: server's files.
    files: AttemptFiles | None
    #: The archive of the files.
    sent: ArchiveFigures | None = None


@dataclass(frozen=True, slots=True)
class StopAttempt:
    attempt: str
    ended_by: EndedBy
    stopped_by: str
    cause: ExitCause


@dataclass(frozen=True, slots=True)
class AttemptWaiting:
    attempt: str
    #: True if the attempt's worker waits for a child job.
    on: bool


@dataclass(frozen=True, slots=True)
class OutputReceived:
    """Confirms bytes of ``OutputPiece`` messages."""

    bytes: Count


@dataclass(frozen=True, slots=True)
class ResendFiles:
    """Asks the node to send an attempt's files again, because the server's disk was full."""

    attempt: str


@dataclass(frozen=True, slots=True)
class EndStored:
    """The server has stored the attempt's end, so the node may remove the attempt."""

    attempt: str


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    #: All addresses of the server.
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    attempt: str
    #: Number of the request.
    n: Count


@dataclass(frozen=True, slots=True)
class SnapshotReceived:
    """Confirms bytes of ``SnapshotPiece`` messages."""

    bytes: Count


@dataclass(frozen=True, slots=True)
class LateFile:
    """A file that the server wrote after the attempt's start."""

    attempt: str
    #: The file's path on the server.
    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ResultPiece:
    attempt: str
    #: Position of the piece in the archive.
    at: Count
    data: bytes


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    change: FileChange
    #: The archive in the ``ResultPiece`` messages.
    sent: ArchiveFigures
    attempt: str
    #: Number of the request.
    n: Count


NodeMessage = (
    Hello
    | Heartbeat
    | AgentsFound
    | NodeUnfit
    | NodeLeaving
    | FilesReceived
    | AttemptStarted
    | OutputPiece
    | EndReport
    | NoResult
    | AddressesStored
    | TunnelData
    | SnapshotPiece
    | SnapshotAnswer
    | ChangeAnswer
)
ServerMessage = (
    Welcome
    | Rejection
    | HeartbeatAnswer
    | HeartbeatsExpected
    | FilesPiece
    | StartAttempt
    | StopAttempt
    | AttemptWaiting
    | OutputReceived
    | ResendFiles
    | EndStored
    | AddressesChanged
    | TunnelData
    | SnapshotRequest
    | SnapshotReceived
    | LateFile
    | ResultPiece
    | ChangeRequest
)
Message = NodeMessage | ServerMessage
#: A message as a JSON object.
Fields = Mapping[str, Any]

_FROM_NODE: Mapping[str, type[NodeMessage]] = {
    "hello": Hello,
    "beat": Heartbeat,
    "agents": AgentsFound,
    "unfit": NodeUnfit,
    "leaving": NodeLeaving,
    "had": FilesReceived,
    "started": AttemptStarted,
    "piece": OutputPiece,
    "ended": EndReport,
    "no_result": NoResult,
    "addresses": AddressesStored,
    "tcp": TunnelData,
    # A message with the field ``data`` is a SnapshotPiece.
    "snapshot": SnapshotAnswer,
    "brought": ChangeAnswer,
}
_FROM_SERVER: Mapping[str, type[ServerMessage]] = {
    "welcome": Welcome,
    "refused": Rejection,
    "ok": HeartbeatAnswer,
    "expect": HeartbeatsExpected,
    "files": FilesPiece,
    "start": StartAttempt,
    "stop": StopAttempt,
    "waiting": AttemptWaiting,
    "got": OutputReceived,
    "again": ResendFiles,
    "kept": EndStored,
    "addresses": AddressesChanged,
    # In both directions, the kind is in the field ``is``.
    "tcp": TunnelData,
    "snapshot": SnapshotRequest,
    "had": SnapshotReceived,
    "file": LateFile,
    "result": ResultPiece,
    "bring": ChangeRequest,
}
#: For each class, the field with the kind, and the kind.
_KINDS: Mapping[type[Message], tuple[str, str]] = {
    **{each: ("do", kind) for kind, each in _FROM_SERVER.items()},
    **{each: ("is", kind) for kind, each in _FROM_NODE.items()},
    SnapshotPiece: ("is", "snapshot"),
}


def encode(message: Message) -> dict[str, Any]:
    """Return a message as a JSON object."""
    message_class: Any = type(message)
    key, kind = _KINDS[message_class]
    encoded = {key: kind}
    for name, default in _defaults(message_class):
        value = getattr(message, name)
        if default is MISSING or value != default:
            encoded[name] = plain(value)
    return encoded


@cache
def _defaults(kind: type[Message]) -> Sequence[tuple[str, Any]]:
    return [(each.name, each.default) for each in fields(kind)]


def decode_from_node(message: Fields) -> NodeMessage | None:
    """Return the message in a JSON object that a node sent; None if the kind is unknown.

    Raise InvalidMessage if a field is missing or has a wrong type.
    """
    kind = _kind_of(message.get("is"))
    if kind == "snapshot" and "data" in message:
        return _read(SnapshotPiece, message)
    return _read(_FROM_NODE[kind], message) if kind in _FROM_NODE else None


def decode_from_server(message: Fields) -> ServerMessage | None:
    """Return the message in a JSON object that the server sent; None if the kind is unknown.

    Raise InvalidMessage if a field is missing or has a wrong type.
    """
    kind = _kind_of(message.get("do", message.get("is")))
    return _read(_FROM_SERVER[kind], message) if kind in _FROM_SERVER else None


def decode_hello(message: Fields) -> Hello:
    """Return the first message of a node. Raise InvalidMessage if it is not a valid ``Hello``."""
    hello = decode_from_node(message)
    if not isinstance(hello, Hello):
        raise InvalidMessage("the first message is not 'hello'")
    return hello


def decode_release(message: Fields) -> Release:
    """Return the release of a node, from the node's first message.

    Raise InvalidMessage if a field is missing or has a wrong type.
    """
    return _read(Release, message)


def decode_answer_to_hello(message: Fields) -> Welcome | Rejection:
    """Return the first message of the server.

    Raise InvalidMessage if it is neither a valid ``Welcome`` nor a valid ``Rejection``.
    """
    answer = decode_from_server(message)
    if not isinstance(answer, Welcome | Rejection):
        raise InvalidMessage("the first message is neither 'welcome' nor 'refused'")
    return answer


def _kind_of(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidMessage("the message has no kind")
    return value


def _read(kind: type[_Kind], message: Fields) -> _Kind:
    try:
        return typed(kind, message)
    except WrongType as error:
        raise InvalidMessage(f"{kind.__name__}: {error.message}") from None
