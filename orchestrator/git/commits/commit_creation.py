"""Commits that the orchestrator creates from the files of a worktree."""

import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import HeldBack
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.repository.git_refs import deleted_refs
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.path_patterns import within
from orchestrator.git.command import fifo_guard
from orchestrator.git.command.frozen_config import FrozenIgnoreRules
from orchestrator.git.command.private_index import private_index
from orchestrator.git.command.ref_files import ID_LENGTHS, HeadLog
from orchestrator.git.command.runner import FROM_INPUT, ITSELF, Git, with_nul
from orchestrator.git.commits import held_back_files, object_quarantine
from orchestrator.git.commits import nested_repositories as nested
from orchestrator.git.commits.commit_diffs import Differences, remember
from orchestrator.git.commits.held_back_files import NOTHING, NeverCommit
from orchestrator.git.commits.nested_repositories import Nested
from orchestrator.git.commits.staged_entries import LINK, Staged, as_new, staged
from orchestrator.security.files.untrusted_files import read_regular

logger = logging.getLogger(__name__)

#: Matches names and addresses that git stores unchanged.
_CLEAN = re.compile(r"[^\W_]([\w .@+()-]*[\w)])?")

#: Maximum size of a file HEAD that is read without git, in bytes.
_LONGEST_LINK = 4096

#: Beginnings of git's log messages for a commit that replaces the previous commit.
_AMENDING = ("commit (amend)", "rebase (fixup)", "rebase (squash)", "rebase (reword)")

#: Maximum size of a ref log in bytes.
_LONGEST_LOG = 64 << 20

#: Maximum number of files that a snapshot omits because git cannot add them. If git cannot add more
#: files, the cause is probably not in the files.
_MOST_IMPOSSIBLE = 20


def commit_tree(
    git: Git, tree: str, parents: Sequence[str], message: str, signature: Signature
) -> str:
    parent_options = [word for parent in parents for word in ("-p", parent)]
    text = message.encode("utf-8", "replace")
    if _is_plain(tree, parents, text, signature) and _have_all(git, tree, parents):
        commit = git.store_commit(_commit_object(tree, parents, text, signature))
        if commit:
            return commit
    return git.run("commit-tree", *parent_options, tree, stdin=text, env=signed(signature)).text


def _is_plain(tree: str, parents: Sequence[str], text: bytes, signature: Signature) -> bool:
    names = (tree, *parents)
    are_ids = all(len(each) in ID_LENGTHS and each.isalnum() for each in names)
    are_clean = all(map(_CLEAN.fullmatch, (signature.name, signature.email)))
    return are_ids and are_clean and len({*names}) == len(names) and b"\0" not in text


def _have_all(git: Git, tree: str, parents: Sequence[str]) -> bool:
    # If an object is missing, the caller runs ``commit-tree``, which reports the missing object.
    names = [f"{tree}^{{tree}}", *(f"{each}^{{commit}}" for each in parents)]
    return git.resolve_all(names) == [tree, *parents]


def _commit_object(tree: str, parents: Sequence[str], text: bytes, signature: Signature) -> bytes:
    now = time.localtime()
    timestamp = f"{int(time.mktime(now))} {time.strftime('%z', now)}"
    identity = f"{signature.name} <{signature.email}> {timestamp}"
    lines = (
        f"tree {tree}",
        *(f"parent {each}" for each in parents),
        f"author {identity}",
        f"committer {identity}",
    )
    return "\n".join((*lines, "", "")).encode() + text


def signed(signature: Signature) -> Mapping[str, str]:
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", signature.name), ("EMAIL", signature.email))
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitRules:
    patterns: FrozenIgnoreRules
    #: The worker's start commit.
    start: str
    #: Paths that are never committed, even if the current .gitignore does not list them.
    without: Sequence[str]
    #: New files that are not committed, unless the task promises them.
    never: NeverCommit = NOTHING
    promised: Sequence[str] = ()
    #: Prefix of the refs that save abandoned commits: commits that the worker removed from its
    #: branch. "" to save none.
    abandoned: str = ""


@dataclass(frozen=True, slots=True)
class AddedFiles:
    """The nested repositories and held-back files that were found while an index was filled."""

    nested: Sequence[Nested]
    #: Files that were removed from the index after git had added them, so that they are not
    #: committed.
    held: Sequence[HeldBack]
    #: Objects that only held-back files use.
    unwanted: Collection[str]
    #: Each path that differs between the start commit and the index; None if unknown, because files
    #: were removed from the index after the comparison.
    differences: Differences | None


#: Function that adds all files to an index, except the files of its last argument.
_Add = Callable[[Git, CommitRules, Sequence[Staged]], AddedFiles]


def commit_changes(
    git: Git, branch: str, message: str, signature: Signature, rules: CommitRules
) -> tuple[str, AddedFiles]:
    """Commit uncommitted changes on top of HEAD, even if HEAD is not on ``branch``.

    Then set ``branch`` to this commit, and HEAD to ``branch``. Return HEAD's commit after these
    changes, and the nested repositories and held-back files.
    """
    worked_on, head_tree, head_branch = _head(git)
    start = git.resolve(f"{rules.start}^{{commit}}")
    rules = replace(rules, start=start) if start else rules
    tree, added = _tree_of_files(git, rules, _add_all)
    head = worked_on
    if tree != head_tree:
        head = commit_tree(git, tree, [worked_on], message, signature)
    if start and worked_on != start and _is_rewritten(git, start, head):
        # Put the tree directly on the start commit, because a merge would keep files that the agent
        # removed, and changed files would conflict.
        head = commit_tree(git, tree, [start], message, signature)
    if start and added.differences is not None:
        # Cache the differences, because they are read next, and reading them would start a process.
        remember(git, start, head, added.differences)
    # The agent may have switched to a branch of its own, or have moved ``branch``.
    if head_branch != branch:
        _save_abandoned(git, branch, head, rules.abandoned)
    git.update_refs({branch: head})
    if head_branch != branch:
        # Set HEAD last. Otherwise a crash could leave HEAD on ``branch`` while ``branch`` is still
        # at its old commit. Files that only the old commit has would then look as if the worker had
        # removed them.
        failpoints.reached("worktree: branch and HEAD differ")
        git.run("symbolic-ref", "-m", "orchestrator: back to the worker's branch", "HEAD", branch)
    return head, added


def _is_rewritten(git: Git, start: str, head: str) -> bool:
    """True if the agent has rewritten its start commit, for example by ``git commit --amend``.

    False if the agent has only discarded the start commit, for example by ``git reset``, or has
    switched to an older commit.
    """
    base = git.ask("merge-base", start, head)
    if not base or base == start:
        return not base
    amended, bases, is_reset = start, set[str](), False
    for line in (read_regular(f"{git.env['GIT_DIR']}/logs/HEAD", _LONGEST_LOG) or b"").splitlines():
        ids, _, words = os.fsdecode(line).partition("\t")
        before, after, *_ = (*ids.split(" "), "")
        if before == amended and words.startswith(_AMENDING):
            amended = after
        elif words.startswith("rebase (start): "):
            bases.add(after)
        is_reset = is_reset or (after == base and words.startswith("reset: moving to "))
    if amended != start and _has_ancestor(git, head, amended):
        return True
    if not (is_reset or any(_has_ancestor(git, start, each) for each in bases)):
        return False
    command = ("diff", "--name-only", "--no-renames", "-z", base)
    changed = ({*git.run(*command, each).fields} for each in (start, head))
    return bool(set.intersection(*changed))


def _has_ancestor(git: Git, commit: str, ancestor: str) -> bool:
    # Check that ``ancestor`` exists, because the log may name removed commits.
    return bool(git.resolve(f"{ancestor}^{{commit}}")) and contains(git, commit, ancestor)


def _head(git: Git) -> tuple[str, str, str]:
    """Return HEAD's commit, the commit's tree, and the full name of HEAD's branch.

    If HEAD is detached, the third value is not a full ref name.
    """
    link = read_regular(f"{git.env['GIT_DIR']}/HEAD", _LONGEST_LINK) or b""
    branch, is_plain = os.fsdecode(link.strip()), link.startswith(b"ref: refs/heads/")
    commit, tree = git.resolve_all(["HEAD^{commit}", "HEAD^{tree}"])
    if is_plain and tree and not branch.endswith("/.invalid"):
        return commit, tree, branch.removeprefix("ref: ")
    revisions = ("HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD")
    # Git does not print the last value if an agent has named a branch HEAD.
    commit, tree, *names = git.run("rev-parse", *revisions).text.split("\n")
    return commit, tree, names[0] if names else ""


def _save_abandoned(git: Git, branch: str, head: str, prefix: str) -> None:
    """Save the branch's old head on a ref if the new ``head`` does not contain the old head.

    During an unfinished rebase, only the old head has the commits that are not rebased yet.
    ``prefix``: beginning of the ref's name; "" to save nothing.
    """
    old = git.resolve(f"{branch}^{{commit}}")
    if not old:
        # The agent has deleted or renamed the branch.
        prefix = prefix and deleted_refs(prefix)
        last_commit = HeadLog(git.env["GIT_DIR"]).last_commit_of(branch)
        old = git.resolve(f"{last_commit}^{{commit}}") if last_commit else ""
    if prefix and old and not contains(git, head, old):
        git.run("update-ref", *ITSELF, f"{prefix}{old[:12]}", old)


def _tree_of_files(
    git: Git, rules: CommitRules, add: _Add, modules: Mapping[str, str] | None = None
) -> tuple[str, AddedFiles]:
    try:
        return _write_tree(git, rules, add, modules or {})
    except RepositoryError:
        # Objects of the index are missing: a `git gc --prune=now` removed them, or a full disk or a
        # crash interrupted the previous commit.
        git.run("read-tree", "HEAD")
        return _write_tree(git, rules, add, modules or {})


def _write_tree(
    git: Git, rules: CommitRules, add: _Add, modules: Mapping[str, str]
) -> tuple[str, AddedFiles]:
    """Write the tree of a commit.

    ``add``: adds the files to an index. ``modules``: the new commits of submodules, by path. Return
    the tree's id, and the nested repositories and held-back files.

    Held-back files are not in the tree, but git stores their objects, because omitting the objects
    would take one more process per commit. If the disk is full, a second try omits the objects.
    """
    try:
        return _write_tree_once(git, rules, add, modules)
    except OSError as error:
        held = _held_beforehand(git, rules) if is_full_disk(error) else ()
        if not held:
            raise
        return _write_tree_once(git, rules, add, modules, held)


def _held_beforehand(git: Git, rules: CommitRules) -> Sequence[Staged]:
    listed = git.run("ls-files", "--others", "--exclude-standard", "-z").fields
    new = {each: as_new(each) for each in listed if not each.endswith("/")}
    held = held_back_files.held(git, rules.never, rules.start, new.values(), rules.promised)
    return [new[each] for each in held.files]


def _write_tree_once(
    git: Git,
    rules: CommitRules,
    add: _Add,
    modules: Mapping[str, str],
    without: Sequence[Staged] = (),
) -> tuple[str, AddedFiles]:
    with object_quarantine.opened(git) as quarantine:
        added = add(quarantine.git, rules, without)
        quarantine.drop(added.unwanted)
        _remove_from_index(quarantine.git, rules.without)
        put_modules(quarantine.git, modules)
        return quarantine.git.run("write-tree").text, added


def _add_all(git: Git, rules: CommitRules, without: Sequence[Staged]) -> AddedFiles:
    """Add all files of an ended attempt. If git cannot add them, make the files readable first."""
    try:
        return _add(git, rules, without)
    except RepositoryError:
        make_readable(git.directory)
        return _add(git, rules, without)


def _add(git: Git, rules: CommitRules, without: Sequence[Staged]) -> AddedFiles:
    """Add all files to the index, including the files of nested repositories.

    ``without``: files that are already held back, and are not added.
    """
    unborn: Sequence[str] = ()
    excluded = [each.path for each in without]
    try:
        _add_except(git, excluded)
    except RepositoryError:
        unborn = nested.unborn(git)
        if not unborn:
            raise
        _add_except(git, [*excluded, *unborn])
    changed = staged(git, rules.start)
    links = [each.path for each in changed if each.is_new_link]
    others = [each for each in links if nested.is_worktree(git, each)]
    if others:
        _remove_from_index(git, others)
        links = [each for each in links if each not in others]
    submodules = nested.declared(git) if links else set()
    entered = nested.enter(git, [*unborn, *(each for each in links if each not in submodules)])
    declared = (nested.at(git, each) for each in links if each in submodules)
    inner = [*entered, *declared, *nested.among(git, changed)]
    added_hidden = rules.patterns.add_hidden(git, excluded)
    changed = staged(git, rules.start) if entered or added_hidden else changed
    held = held_back_files.held(git, rules.never, rules.start, [*changed, *without], rules.promised)
    _remove_from_index(git, held.files)
    held_paths = {*held.files}
    unwanted = {each.object for each in changed if each.path in held_paths}
    unwanted -= {each.object for each in changed if each.path not in held_paths}
    excludes_paths = any(within(each.path, path) for path in rules.without for each in changed)
    is_whole = not (others or held_paths or without or excludes_paths)
    differences = [(each.kind, each.path) for each in changed] if is_whole else None
    return AddedFiles(inner, held.held_back, unwanted, differences)


def _add_possible(git: Git, rules: CommitRules, without: Sequence[Staged]) -> AddedFiles:
    """Add all files that git can add. Git cannot add a file if, for example, its filter fails."""
    try:
        return _add(git, rules, without)
    except RepositoryError:
        new = git.run("ls-files", "--others", "--exclude-standard", "-z").fields
        # Unlike ``ls-files --modified``, this command runs no filter.
        changed = git.run("diff-files", "--name-only", "-z").fields
        impossible = list(_unaddable(git, [*new, *dict.fromkeys(changed)]))
        if len(impossible) > _MOST_IMPOSSIBLE:
            raise
        logger.warning(
            "a commit of a worker's files omits files that git cannot add: %s; check the git "
            "filters for these files",
            ", ".join(impossible),
        )
        return _add(git, rules, [*without, *map(as_new, impossible)])


def _unaddable(git: Git, paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths that git cannot add, but at most ``_MOST_IMPOSSIBLE + 1`` paths."""
    try:
        git.run("add", "--all", "--sparse", *FROM_INPUT, stdin=with_nul(paths))
    except RepositoryError:
        middle = len(paths) // 2
        parts = (paths[:middle], paths[middle:]) if middle else ()
        unaddable = chain.from_iterable(_unaddable(git, each) for each in parts)
        yield from islice(unaddable, _MOST_IMPOSSIBLE + 1) if parts else paths


def _add_except(git: Git, paths: Sequence[str]) -> None:
    if not paths:
        git.run("add", "--all", "--sparse", "--", ".")
        return
    pathspecs = with_nul([".", *(f":(exclude,top,literal){each}" for each in paths)])
    command = ("add", "--all", "--sparse", *FROM_INPUT)
    git.run("--no-literal-pathspecs", *command, stdin=pathspecs)


def make_readable(directory: str) -> None:
    """Make files readable, and rename special files, so that git can add all files of a worktree.

    Special files are FIFOs, sockets, and devices.
    """
    for parent, names, files in os.walk(directory):
        for name in names:
            _add_permissions(os.path.join(parent, name), 0o700)
        for name in files:
            path = os.path.join(parent, name)
            _add_permissions(path, 0o400)
            # Rename a FIFO, socket, or device, so that git does not read it. Its old path counts as
            # removed.
            if fifo_guard.is_special(path):
                os.rename(path, unused_name(path))


def _add_permissions(path: str, mode: int) -> None:
    with suppress(FileNotFoundError):
        present_mode = os.lstat(path).st_mode
        if not stat.S_ISLNK(present_mode) and present_mode & mode != mode:
            os.chmod(path, present_mode & 0o7777 | mode)


def unused_name(name: str) -> str:
    """Return an unused path that begins with ``name``, so that no file is overwritten."""
    number = 1
    while os.path.lexists(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"


def _remove_from_index(git: Git, paths: Sequence[str]) -> None:
    if paths:
        options = ("-r", "-q", "--cached", "--force", "--sparse", "--ignore-unmatch")
        git.run("rm", *options, *FROM_INPUT, stdin=with_nul(paths))


def put_modules(git: Git, modules: Mapping[str, str], env: Mapping[str, str] | None = None) -> None:
    lines = with_nul(f"{LINK} {commit}\t{path}" for path, commit in modules.items())
    if lines:
        git.run("update-index", "-z", "--index-info", stdin=lines, env=env)


def snapshot(
    git: Git,
    admin: Path,
    message: str,
    signature: Signature,
    modules: Mapping[str, str],
    rules: CommitRules,
) -> tuple[str, AddedFiles]:
    """Commit all files while an agent may be running. The worktree's index stays unchanged.

    Return two values. The first is the new commit, or HEAD's commit if no file has changed. The
    second has the nested repositories and held-back files. Files that git cannot add are omitted,
    so that all other files are saved.

    ``modules``: the new commits of changed submodules, by path.
    """
    head, head_tree, _ = _head(git)
    with private_index() as env:
        if (admin / "index").exists():
            shutil.copy2(admin / "index", env["GIT_INDEX_FILE"])
        private_git = Git(git.directory, {**git.env, **env})
        tree, added = _tree_of_files(private_git, rules, _add_possible, modules)
    return head if tree == head_tree else commit_tree(git, tree, [head], message, signature), added


def tree_of(git: Git, commit: str) -> str:
    name = f"{commit}^{{tree}}"
    return git.resolve(name) or git.run("rev-parse", "--verify", name).text


def contains(git: Git, commit: str, ancestor: str) -> bool:
    """True if ``ancestor`` is ``commit``, or is in the history of ``commit``.

    Unlike ``Git.is_ancestor``, raise RepositoryError if a commit is missing.
    """
    if commit == ancestor or git.resolve(f"{commit}^") == ancestor:
        return True
    return git.run("merge-base", "--is-ancestor", ancestor, commit, accept=(0, 1)).code == 0


def has_changes(git: Git, start: str, end: str) -> bool:
    """True if any file differs between the commits. A removed file is a difference, too."""
    return tree_of(git, start) != tree_of(git, end)
