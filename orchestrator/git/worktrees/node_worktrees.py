"""Sends worktrees to nodes that do not have the repository, and receives the changes.

The server sends the commits of a worktree as a pack of git objects. On the node, each worker gets
its own repository, which borrows objects from one repository of the node. The node returns two
packs: the worker's commits, and its uncommitted changes as one more commit.

The server checks the commits outside of the project's repository, and stores only commits whose
objects are complete. The objects of the uncommitted changes never enter the repository, because
they may contain files that must not be committed.
"""

import glob
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.ports.worktree_transfer import FileChange, WorktreeFiles
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.path_patterns import literal
from orchestrator.git.command.private_index import edited_tree
from orchestrator.git.command.ref_files import (
    REFLOG_ENV,
    HeadLog,
    LogEntry,
    entries,
    listed_refs,
    part_of_ref,
    tips,
)
from orchestrator.git.command.runner import ITSELF, Git, with_nul
from orchestrator.git.commits.commit_creation import commit_tree, contains, tree_of
from orchestrator.git.worktrees.worktree_files import change_files
from orchestrator.git.worktrees.worktrees import refill
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.json_file import read_object
from orchestrator.security.files.untrusted_files import read_regular

#: Names of files in the directory that one machine sends to the other.
_COMMITS, _CHANGES, _STATE = "commits.pack", "changes.pack", "state.json"
_MOST_STATE_BYTES = 4096
#: File with the worker's side work: commits that HEAD does not contain, and the log of HEAD. The
#: file is missing if the worker has no side work.
_SIDE_WORK = "side_work.json"
_MOST_SIDE_WORK_BYTES = 4 << 20
#: Maximum numbers of entries of HEAD's log, and of refs, that a node sends. The node sends the
#: newest entries and refs.
_MOST_ENTRIES, _MOST_REFS = 5000, 500
_LOG_ENTRY = re.compile(
    r"[0-9a-f]{40,64} [0-9a-f]{40,64} [^\0\r\n]* <[^\0\r\n]*> \d+ [+-]\d{4}\t[^\0\r\n]*"
)
_SIDE_REF = re.compile(r"(?:branch|deleted|stash|head)/[^\0\n]+")
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: Maximum number of commits that a machine reports as stored, so that the other machine need not
#: send their objects.
_MOST_KNOWN = 32
#: Number of stored commits above which a machine removes all except the newest ``_MOST_KNOWN``.
_MOST_STORED = 64
_KNOWN = "refs/orchestrator/known/"
_SHA256_LENGTH = 64
SIGNATURE = Signature(name="orchestrator", email="node@orchestrator.invalid")
MESSAGE = "Uncommitted changes of a worker\n"
_HEADS = "refs/heads/"
_MOST_LOG_BYTES = 64 << 20
#: An entry of HEAD's log is not sent if it ends with one of these texts.
_NOT_SENT = ("\treset: moving to HEAD", "\torchestrator: updating HEAD")
#: Prefix of the name of a temporary directory in the worktree's git directory.
_PREFIX = "orchestrator-node-"


# The server


def write_for_node(
    git: Git, commit: str, changes: str, known: Sequence[str], directory: str
) -> Sequence[str]:
    """Write the objects of two commits into ``directory``, for transfer to a node.

    ``commit``: the worker's start commit. ``changes``: the worktree's files as a commit; equal to
    ``commit`` if no file has changed. ``known``: commits that the node already has; their objects
    are omitted. Return the commits that the node has after the transfer: ``commit``, and the
    ``known`` commits that exist in this repository. Raise RepositoryError if git fails, and OSError
    if the files cannot be written.
    """
    existing = write_commits(git, (commit, changes), known, directory)
    _write_state(directory, commit, changes)
    return (*(each for each in existing if each != commit), commit)


def write_commits(
    git: Git, commits: Sequence[str], known: Sequence[str], directory: str
) -> Sequence[str]:
    """Write the objects of commits into a directory. Objects of ``known`` commits are omitted.

    Return the ``known`` commits that exist in this repository. Raise RepositoryError if git fails,
    and OSError if the files cannot be written.
    """
    ids = [each for each in known if _ID.fullmatch(each)]
    existing = [each for each in git.resolve_all([f"{each}^{{commit}}" for each in ids]) if each]
    _write_pack(git, commits, existing, f"{directory}/{_COMMITS}")
    return existing


def is_changed(git: Git) -> bool:
    """True if a tracked file of the worktree may differ from HEAD."""
    return git.run("diff-index", "--quiet", "HEAD", "--", accept=(0, 1)).code != 0


def other_files(git: Git) -> Sequence[str]:
    """Return the worktree's untracked files, including ignored files.

    Nested repositories are omitted. Raise RepositoryError if git fails.
    """
    listed = git.run("ls-files", "--others", "-z").fields
    return [each for each in listed if not each.endswith("/")]


def apply_received(
    git: Git, admin: Path, objects: str, branch: str, commit: str, side_prefix: str, directory: str
) -> None:
    """Set a worktree's branch and files to the state that was received from a node. Idempotent.

    ``objects``: the repository's directory of objects. ``commit``: the worker's start commit.
    ``side_prefix``: prefix of the refs for commits that the branch does not contain.
    ``directory``: directory with the received files. Raise RepositoryError if the files are not
    valid or git fails, and OSError if a file cannot be read or written. After an error, either the
    branch is unchanged, or a second call completes the change.
    """
    state, side = _state_of(directory), _side_work_of(directory)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=admin) as temporary:
        commits = _git_for_objects(git, f"{temporary}/commits", [objects])
        stored = _index_pack(commits, f"{directory}/{_COMMITS}")
        for each in (state.head, *side.commits):
            _check_complete(commits, each, commit)
        changes = _git_for_objects(git, f"{temporary}/changes", [objects, f"{temporary}/commits"])
        _index_pack(changes, f"{directory}/{_CHANGES}")
        _check_complete(changes, state.changes, state.head)
        if stored:
            _store_pack(f"{temporary}/commits/pack", stored, f"{objects}/pack")
        git.run("symbolic-ref", "HEAD", branch)
        _add_entries(admin, side.entries)
        # An earlier transfer of the attempt may have left refs that no longer exist on the node.
        for ref in listed_refs(git, side_prefix):
            git.run("update-ref", *ITSELF, "-d", ref)
        git.update_refs(
            {branch: state.head, **{f"{side_prefix}{name}": tip for name, tip in side.refs.items()}}
        )
        _write_files(changes, admin, f"{temporary}/index", state.changes)
        _remove_others(changes, f"{temporary}/index")
        refill(git, admin)


@dataclass(frozen=True, slots=True)
class _State:
    #: The worker's last commit.
    head: str
    #: A commit on top of ``head`` with the uncommitted changes; ``head`` itself if there are none.
    changes: str


def _state_of(directory: str) -> _State:
    values = read_object(f"{directory}/{_STATE}", _MOST_STATE_BYTES) or {}
    try:
        state = _State(values["head"], values["changes"])
        if _ID.fullmatch(state.head) and _ID.fullmatch(state.changes):
            return state
    except (ValueError, LookupError, TypeError):
        pass
    raise RepositoryError(
        f"the transfer of a worktree has no valid file {_STATE} with the worker's commits; check "
        "that server and node run the same version"
    )


def _write_state(directory: str, head: str, changes: str) -> None:
    state = json.dumps({"head": head, "changes": changes})
    replace_file(Path(directory, _STATE), state.encode("ascii"))


@dataclass(frozen=True, slots=True)
class _SideWork:
    """Commits of a worker that HEAD does not contain, and the log of HEAD."""

    #: Commits of branches and stash entries, and former commits of the worker's branch. A key is
    #: the end of the ref's name.
    refs: dict[str, str]
    #: HEAD's commits before checkouts. The branches of these commits may no longer exist.
    before_checkouts: list[str]
    #: Lines of the log of HEAD.
    entries: list[str]

    @property
    def commits(self) -> Sequence[str]:
        return tuple(dict.fromkeys((*self.refs.values(), *self.before_checkouts)))


def _side_work_of(directory: str) -> _SideWork:
    path = f"{directory}/{_SIDE_WORK}"
    if not os.path.lexists(path):
        return _SideWork({}, [], [])
    values = read_object(path, _MOST_SIDE_WORK_BYTES) or {}
    try:
        side = _SideWork({**values["refs"]}, [*values["left"]], [*values["entries"]])
        names = (part_of_ref(name) == name and _SIDE_REF.fullmatch(name) for name in side.refs)
        lines = map(_LOG_ENTRY.fullmatch, side.entries)
        if all(names) and all(lines) and all(map(_ID.fullmatch, side.commits)):
            return side
    except (ValueError, LookupError, TypeError):
        pass
    raise RepositoryError(
        f"the transfer of a worktree has no valid file {_SIDE_WORK} with the worker's branches; "
        "check that server and node run the same version"
    )


def _add_entries(admin: Path, lines: Sequence[str]) -> None:
    """Add a node's log entries to the log of a worktree's HEAD. Idempotent."""
    if not lines:
        return
    path = admin / "logs" / "HEAD"
    content = read_regular(path, _MOST_SIDE_WORK_BYTES) or b""
    known_lines = {*content.splitlines()}
    new = [os.fsencode(each) for each in lines if os.fsencode(each) not in known_lines]
    path.parent.mkdir(exist_ok=True)
    replace_file(path, content + b"".join(each + b"\n" for each in new))


def _git_for_objects(git: Git, directory: str, others: Sequence[str]) -> Git:
    """Return a Git that writes objects into ``directory``, and also reads objects in ``others``."""
    os.makedirs(f"{directory}/pack")
    env = {
        "GIT_OBJECT_DIRECTORY": directory,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(others),
    }
    return Git(git.directory, {**git.env, **env})


def _index_pack(git: Git, pack: str) -> str:
    """Check a pack file, and add it to the objects of ``git``.

    Return the pack's id; "" if the file does not exist. Raise RepositoryError if the pack is
    damaged.
    """
    if not os.path.exists(pack):
        return ""
    name = "pack-received"
    place = f"{git.env['GIT_OBJECT_DIRECTORY']}/pack/{name}"
    shutil.copyfile(pack, f"{place}.pack", follow_symlinks=False)
    digest = git.run("index-pack", "--strict", f"{place}.pack").text
    if not _ID.fullmatch(digest):
        raise RepositoryError(f"git index-pack printed no id for the received pack {pack}")
    return digest


def _check_complete(git: Git, commit: str, known: str) -> None:
    """Raise RepositoryError if an object of ``commit`` is missing.

    Objects of the commit ``known`` are not checked.
    """
    if git.run("cat-file", "-t", commit).text != "commit":
        raise RepositoryError(f"received object {commit} is not a commit")
    git.run("rev-list", "--objects", "--quiet", commit, f"^{known}")


def _store_pack(packs: str, digest: str, to: str) -> None:
    os.makedirs(to, exist_ok=True)
    # Move the index last, because git uses a pack as soon as the pack's index exists.
    for kind in ("pack", "idx"):
        os.chmod(f"{packs}/pack-received.{kind}", 0o444)
        os.replace(f"{packs}/pack-received.{kind}", f"{to}/pack-{digest}.{kind}")


def _write_files(git: Git, admin: Path, index: str, commit: str) -> None:
    with suppress(FileNotFoundError):
        shutil.copyfile(admin / "index", index)
    env = {"GIT_INDEX_FILE": index}
    git.run("read-tree", "--reset", "-u", commit, env=env)


def _remove_others(git: Git, index: str) -> None:
    command = ("ls-files", "--others", "--exclude-standard", "-z")
    for each in git.run(*command, env={"GIT_INDEX_FILE": index}).fields:
        if not each.endswith("/"):
            with suppress(FileNotFoundError):
                os.unlink(f"{git.directory}/{each}")


# The node


class NodeRepository:
    """The worktrees of one node; implements ``core.ports.worktree_transfer.NodeWorktrees``.

    ``directory`` must be on a local disk. Any thread may call.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._objects = str(directory / "objects")
        self._creating = threading.Lock()

    @property
    def _git(self) -> Git:
        return Git(str(self._directory), {"GIT_DIR": str(self._directory)})

    @property
    def objects(self) -> str:
        return self._objects

    def known(self) -> Sequence[str]:
        return self._stored_commits()[:_MOST_KNOWN]

    def _stored_commits(self) -> Sequence[str]:
        if not (self._directory / "HEAD").exists():
            return ()
        options = ("--format=%(objectname)", "--sort=-creatordate")
        return self._git.ask("for-each-ref", *options, _KNOWN).split()

    def prune(self) -> None:
        stored = self._stored_commits()
        if len(stored) <= _MOST_STORED:
            return
        git = self._git
        lines = "".join(f"delete {_KNOWN}{each}\n" for each in stored[_MOST_KNOWN:])
        git.run("update-ref", "--stdin", stdin=lines.encode("ascii"))
        # Remove the objects that no remaining commit has.
        git.run("repack", "-a", "-d", "-q")

    def open(self, worktree: WorktreeFiles, path: str, directory: str) -> None:
        commit = worktree.commit
        kind = "sha256" if len(commit) == _SHA256_LENGTH else "sha1"
        with self._creating:
            if not (self._directory / "HEAD").exists():
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                _init_repository(str(self._directory), kind, "--bare")
        self._add_pack(f"{path}/{_COMMITS}")
        git = self._git
        if not git.resolve(f"{commit}^{{commit}}"):
            raise RepositoryError(
                f"the server did not send commit {commit}, the start of {worktree.branch}"
            )
        git.update_refs({f"{_KNOWN}{commit}": commit})
        os.makedirs(directory, 0o700, exist_ok=True)
        _init_repository(directory, kind)
        Path(directory, ".git/objects/info/alternates").write_text(f"{self._objects}\n")
        worker_git = Git(directory, {"GIT_DIR": f"{directory}/.git", "GIT_WORK_TREE": directory})
        worker_git.update_refs({worktree.branch: commit})
        worker_git.run("symbolic-ref", "HEAD", worktree.branch)
        worker_git.run("reset", "--hard", "--quiet", env=REFLOG_ENV)
        changes = _state_of(path).changes
        if changes != commit:
            change_files(worker_git, commit, changes)

    def _add_pack(self, pack: str) -> None:
        if not os.path.exists(pack):
            return
        os.makedirs(f"{self._objects}/pack", exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self._directory) as temporary:
            received = _git_for_objects(self._git, f"{temporary}/objects", [self._objects])
            digest = _index_pack(received, pack)
            _store_pack(f"{temporary}/objects/pack", digest, f"{self._objects}/pack")

    def pack(self, worktree: WorktreeFiles, directory: str, path: str) -> None:
        git_directory = f"{directory}/.git"
        if os.path.islink(git_directory) or not os.path.isdir(git_directory):
            raise RepositoryError(
                f"the worker removed .git from its worktree {directory}, so its changes cannot be "
                "sent to the server"
            )
        env = {"GIT_DIR": git_directory, "GIT_WORK_TREE": directory}
        head = Git(directory, env).run("rev-parse", "--verify", "HEAD^{commit}").text
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self._directory) as temporary:
            # Only read the worker's repository, because its settings may name programs.
            git = self._separate_repository(f"{temporary}/git", directory, len(head))
            tree = _tree_of_files(git, directory, head, worktree.promised)
            changes = head
            if tree != tree_of(git, head):
                changes = commit_tree(git, tree, [head], MESSAGE, SIGNATURE)
            side = _side_work(git, directory, git_directory, worktree.branch, head)
            _write_pack(git, [head, *side.commits], [worktree.commit], f"{path}/{_COMMITS}")
            _write_pack(git, [changes], [head], f"{path}/{_CHANGES}")
        _write_state(path, head, changes)
        if side != _SideWork({}, [], []):
            text = json.dumps(
                {"refs": side.refs, "left": side.before_checkouts, "entries": side.entries}
            )
            replace_file(Path(path, _SIDE_WORK), text.encode("ascii"))

    def change_files(
        self, worktree: WorktreeFiles, directory: str, path: str, change: FileChange
    ) -> None:
        self._add_pack(f"{path}/{_COMMITS}")
        if change.now != change.then:
            with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self._directory) as temporary:
                git = self._separate_repository(f"{temporary}/git", directory, len(change.now))
                change_files(git, change.now, change.then)
        git_directory = f"{directory}/.git"
        if change.branches and os.path.isdir(git_directory) and not os.path.islink(git_directory):
            # Ignore an error: the worker may have damaged its repository, and its files are already
            # changed.
            with suppress(RepositoryError):
                Git(directory, {"GIT_DIR": git_directory, "GIT_WORK_TREE": directory}).update_refs(
                    change.branches
                )

    def _separate_repository(self, place: str, directory: str, length: int) -> Git:
        _init_repository(place, "sha256" if length == _SHA256_LENGTH else "sha1", "--bare")
        borrowed = f"{self._objects}\n{directory}/.git/objects\n"
        Path(place, "objects/info/alternates").write_text(borrowed)
        return Git(directory, {"GIT_DIR": place, "GIT_WORK_TREE": directory})


def _side_work(git: Git, directory: str, git_directory: str, branch: str, head: str) -> _SideWork:
    """Return a worker's side work: its newest branches, stash entries, and entries of HEAD's log.

    A branch or stash entry is omitted if HEAD contains its commit. ``git_directory``: the directory
    of the worker's repository. ``git`` reads the objects of the worker's repository, but not its
    settings.
    """
    log = HeadLog(git_directory)
    heads = tips(Git(directory, {"GIT_DIR": git_directory}), Path(git_directory), _HEADS)
    refs = {
        f"branch/{part_of_ref(ref.removeprefix(_HEADS))}": commit
        for ref, commit in heads.items()
        # Other branches of jobs are results of child jobs.
        if ref != branch and not ref.startswith(f"{_HEADS}{BRANCHES}/")
    }
    if branch in heads:
        refs[f"head/{heads[branch][:12]}"] = heads[branch]
    elif last_commit := log.last_commit_of(branch):
        refs[f"deleted/{last_commit[:12]}"] = last_commit
    for entry in entries(Path(git_directory, "logs", "refs", "stash")):
        refs[f"stash/{entry.after[:12]}"] = _stash_commit(git, entry)
    refs = {name: each for name, each in refs.items() if each and not contains(git, head, each)}
    commits = dict.fromkeys(commit for _, commit in log.checkouts)
    existing = [each for each in commits if git.resolve(f"{each}^{{commit}}")]
    lines = (read_regular(Path(git_directory, "logs", "HEAD"), _MOST_LOG_BYTES) or b"").splitlines()
    texts = [line.decode("utf-8", "replace") for line in lines[-_MOST_ENTRIES:]]
    # Git stash adds entries that could be mistaken for entries of a stash on the server.
    sent = [each for each in texts if _LOG_ENTRY.fullmatch(each) and not each.endswith(_NOT_SENT)]
    return _SideWork(dict([*refs.items()][-_MOST_REFS:]), existing[-_MOST_REFS:], sent)


def _stash_commit(git: Git, entry: LogEntry) -> str:
    """Return a commit with the changes of a stash entry; "" if the entry is damaged."""
    output = git.run("rev-list", "--parents", "-n1", entry.after, accept=(0, 128)).text
    base, _, *untracked = (*output.split(" ")[1:], "", "")
    if not base:
        return ""
    tree = tree_of(git, entry.after)
    for each in filter(None, untracked):
        tree = edited_tree(git, entry.after, git.run("ls-tree", "-r", "-z", each).out)
    return commit_tree(git, tree, [base], entry.message, SIGNATURE)


def _init_repository(directory: str, kind: str, *more: str) -> None:
    os.makedirs(directory, 0o700, exist_ok=True)
    options = ("--quiet", "--template=", f"--object-format={kind}", *more)
    Git(directory, {}).run("init", *options, ".")
    os.makedirs(f"{directory}/{'' if more else '.git/'}objects/info", exist_ok=True)


def _tree_of_files(git: Git, directory: str, head: str, promised: Sequence[str]) -> str:
    """Return a git tree of the worktree's files. Ignored files are omitted unless ``promised``.

    A nested repository's files are included, but not its history.
    """
    git.run("read-tree", head)
    nested = list(_repositories(directory))
    if nested:
        Path(git.env["GIT_DIR"], "info").mkdir(exist_ok=True)
        lines = "".join(f"/{literal(each)}/\n" for each in nested)
        Path(git.env["GIT_DIR"], "info", "exclude").write_bytes(os.fsencode(lines))
    git.run("add", "--all", "--", ".")
    inner = [name for each in nested for name in _files_below(directory, each)]
    promised_files = [
        name
        for each in promised
        for name in glob.glob(each.strip("/"), root_dir=directory, recursive=True)
        if ".." not in name.split("/")
    ]
    promised_files = [name for name in promised_files if os.path.lexists(f"{directory}/{name}")]
    if promised_files:
        git.run("add", "--force", "--", *promised_files)
    if inner:
        git.run("update-index", "--add", "-z", "--stdin", stdin=with_nul(inner))
    return git.run("write-tree").text


def _repositories(directory: str) -> Iterator[str]:
    for parent, names, files in os.walk(directory):
        if parent == directory:
            names[:] = [each for each in names if each != ".git"]
        elif ".git" in names or ".git" in files:
            names.clear()
            yield os.path.relpath(parent, directory)


def _files_below(directory: str, name: str) -> Iterator[str]:
    for parent, names, files in os.walk(f"{directory}/{name}"):
        names[:] = [each for each in names if each != ".git"]
        links = [each for each in names if os.path.islink(f"{parent}/{each}")]
        for each in (*files, *links):
            path = f"{parent}/{each}"
            if each != ".git" and (os.path.isfile(path) or os.path.islink(path)):
                yield os.path.relpath(path, directory)


def _write_pack(git: Git, commits: Sequence[str], known: Sequence[str], path: str) -> None:
    """Write a pack with the objects that ``commits`` have and the commits in ``known`` lack.

    Write no file if there are no such objects. ``path``: the pack file.
    """
    revisions = "\n".join((*commits, *(f"^{each}" for each in known), "")).encode("ascii")
    if not git.run("rev-list", "--max-count=1", "--stdin", stdin=revisions).text:
        return
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as temporary:
        git.run("pack-objects", "--revs", "--quiet", f"{temporary}/p", stdin=revisions)
        [pack] = glob.glob(f"{glob.escape(temporary)}/p-*.pack")
        os.replace(pack, path)
