"""Commits that the orchestrator makes of what lies in a worktree."""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.held_back import HeldBack
from orchestrator.core.refs import BRANCHES
from orchestrator.core.repository import Signature
from orchestrator.git import nested, never_commit, pipes
from orchestrator.git.excluded import Patterns
from orchestrator.git.nested import Nested
from orchestrator.git.never_commit import NOTHING, NeverCommit
from orchestrator.git.running import ITSELF, Git
from orchestrator.git.staged import staged

#: Else what lies outside of a sparse checkout, and was made there all the same, would be removed.
_NOT_SPARSE = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.sparseCheckout",
    "GIT_CONFIG_VALUE_0": "false",
}


#: Given to one call of git.
_MOST_PATHS = 500


def commit_tree(
    git: Git, tree: str, parents: Sequence[str], message: str, signature: Signature
) -> str:
    above = [word for parent in parents for word in ("-p", parent)]
    text = message.encode("utf-8", "replace")
    return git.run("commit-tree", *above, tree, given=text, env=signed(signature)).text


def signed(signature: Signature) -> Mapping[str, str]:
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", signature.name), ("EMAIL", signature.email))
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What of a worktree's files is committed."""

    patterns: Patterns
    #: What the worker began with.
    start: str
    #: What stays out of it, though no .gitignore may say so any more.
    without: Sequence[str] = ()
    #: New files that are not committed, and promised ones that are all the same.
    never: NeverCommit = NOTHING
    promised: Sequence[str] = ()
    #: Below this: refs for what the branch had, if the worker left it for another one.
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """What an index has besides files that git adds by itself."""

    nested: Sequence[Nested]
    #: What was taken out again.
    held: Sequence[HeldBack]


def commit_rest(
    git: Git, branch: str, message: str, signature: Signature, rules: Rules
) -> tuple[str, Added]:
    """Commit what is uncommitted, wherever HEAD is, and have the branch and HEAD there."""
    head, present = _head(git)
    try:
        tree, found = _tree_of_files(git, rules)
    except RepositoryError:
        # A `git gc --prune=now` of somebody else took objects that the index speaks of.
        git.run("read-tree", "HEAD")
        tree, found = _tree_of_files(git, rules)
    if tree != present:
        head = commit_tree(git, tree, [head], message, signature)
    # An agent may have gone to a branch of its own, or have moved this one.
    if git.ask("symbolic-ref", "--quiet", "HEAD") != branch:
        _keep_aside(git, branch, head, rules.aside)
        git.run("symbolic-ref", "-m", "orchestrator: back to the worker's branch", "HEAD", branch)
    git.run("update-ref", *ITSELF, "-m", "orchestrator: what the worker left", branch, head)
    return head, found


def _head(git: Git) -> tuple[str, str]:
    """The commit, and its tree."""
    commit, tree = git.run("rev-parse", "HEAD^{commit}", "HEAD^{tree}").text.split("\n")
    return commit, tree


def _keep_aside(git: Git, branch: str, head: str, prefix: str) -> None:
    """A rebase that was not finished has taken commits off the branch: they are no other work."""
    rebases = (f"{git.env['GIT_DIR']}/rebase-{kind}" for kind in ("merge", "apply"))
    old = git.ask("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}")
    if not prefix or not old or any(map(os.path.exists, rebases)):
        return
    if git.run("merge-base", "--is-ancestor", old, head, accept=(0, 1)).code:
        git.run("update-ref", *ITSELF, f"{prefix}{old[:12]}", old)


def _tree_of_files(git: Git, rules: Rules) -> tuple[str, Added]:
    found = _add_all(git, rules)
    rules.patterns.add_hidden(git)
    _leave_out(git, rules.without)
    return git.run("write-tree").text, found


def _add_all(git: Git, rules: Rules) -> Added:
    """All files of an attempt that is over, also where git cannot read them as they are."""
    try:
        return _add(git, rules)
    except RepositoryError:
        make_readable(git.directory)
        return _add(git, rules)


def _add(git: Git, rules: Rules, env: Mapping[str, str] | None = None) -> Added:
    """Have an index hold all files, also those of repositories in the worktree."""
    add = ("add", "--all", "--sparse", "--", ".")
    unborn: Sequence[str] = ()
    try:
        git.run(*add, env=env)
    except RepositoryError:
        unborn = nested.unborn(git)
        if not unborn:
            raise
        born = (f":(exclude,top,literal){each}" for each in unborn)
        git.run("--no-literal-pathspecs", *add, *born, env=env)
    changed = staged(git, rules.start, env)
    links = [each.path for each in changed if each.is_new_link]
    others = [each for each in links if nested.is_worktree(git, each)]
    if others:
        _leave_out(git, others, env)
        links = [each for each in links if each not in others]
    submodules = nested.declared(git) if links else set()
    entered = nested.enter(git, [*unborn, *(each for each in links if each not in submodules)], env)
    kept = (nested.at(git, each) for each in links if each in submodules)
    inner = [*entered, *kept, *nested.among(git, changed)]
    changed = staged(git, rules.start, env) if entered else changed
    held = never_commit.held(git, rules.never, rules.start, changed, rules.promised, env)
    _leave_out(git, held.files, env)
    return Added(inner, held.found)


def make_readable(directory: str) -> None:
    """Files that their owner may not read, and a pipe or a socket in place of a file, keep git from
    adding anything at all."""
    for parent, names, files in os.walk(directory):
        for name in names:
            _allow(os.path.join(parent, name), 0o700)
        for name in files:
            _allow(os.path.join(parent, name), 0o400)
            _put_aside(os.path.join(parent, name))


def _allow(path: str, mode: int) -> None:
    with suppress(FileNotFoundError):
        present = os.lstat(path).st_mode
        if not stat.S_ISLNK(present) and present & mode != mode:
            os.chmod(path, present & 0o7777 | mode)


def _put_aside(path: str) -> None:
    """What is no file: whatever was there before counts as removed."""
    if pipes.is_special(path):
        os.rename(path, free(path))


def free(name: str) -> str:
    """A name that nothing has yet: what an agent made is not thrown away."""
    number = 1
    while os.path.lexists(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"


def _leave_out(git: Git, paths: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    if paths:
        given = os.fsencode("".join(f"{path}\0" for path in paths))
        listed = ("--pathspec-from-file=-", "--pathspec-file-nul")
        how = ("-r", "-q", "--cached", "--force", "--sparse", "--ignore-unmatch")
        git.run("rm", *how, *listed, given=given, env=env)


def put_modules(git: Git, modules: Mapping[str, str], env: Mapping[str, str]) -> None:
    """Have an index hold these commits of submodules."""
    lines = "".join(f"160000 {commit}\t{path}\0" for path, commit in modules.items())
    if lines:
        git.run("update-index", "-z", "--index-info", given=os.fsencode(lines), env=env)


def snapshot(
    git: Git,
    admin: Path,
    message: str,
    signature: Signature,
    modules: Mapping[str, str],
    rules: Rules,
) -> tuple[str, Added]:
    """With an index of its own, so that the agent, which may be at work, notices nothing.

    ``modules`` are commits of submodules that are not at these.
    """
    head, present = _head(git)
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        index = os.path.join(directory, "index")
        if (admin / "index").exists():
            shutil.copy2(admin / "index", index)
        env = {"GIT_INDEX_FILE": index}
        found = _add(git, rules, env)
        rules.patterns.add_hidden(git, env)
        _leave_out(git, rules.without, env)
        put_modules(git, modules, env)
        tree = git.run("write-tree", env=env).text
    return head if tree == present else commit_tree(git, tree, [head], message, signature), found


def bring(git: Git, now: str, then: str) -> None:
    """With an index of its own; git looks at every file that is to change before it changes one."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        env = {"GIT_INDEX_FILE": os.path.join(directory, "index"), **_NOT_SPARSE}
        git.run("read-tree", now, env=env)
        git.run("update-index", "--refresh", "-q", env=env, accept=(0, 1))
        git.run("read-tree", "-m", "-u", now, then, env=env)


def tree_of(git: Git, commit: str) -> str:
    return git.run("rev-parse", "--verify", f"{commit}^{{tree}}").text


def changed(git: Git, start: str, end: str) -> list[str]:
    names = ("--name-only", "--diff-filter=d", "--no-renames", "-r", "-z")
    return git.run("diff-tree", *names, start, end, "--").fields


def touched(git: Git, start: str, end: str) -> dict[str, bool]:
    """Every path that differs; whether ``start`` has it."""
    found = git.run("diff-tree", "--name-status", "--no-renames", "-r", "-z", start, end).fields
    return {path: status != "A" for status, path in zip(found[::2], found[1::2], strict=True)}


#: So much of a file is the same, in percent, where it was moved and changed.
_LEAST_SIMILAR = 50


def moved(git: Git, start: str, end: str) -> dict[str, tuple[str, bool]]:
    """By the new path: the old one, and whether the content is the same."""
    how = ("--name-status", f"--find-renames={_LEAST_SIMILAR}%", "--diff-filter=R", "-r", "-z")
    found = git.run("diff-tree", *how, start, end).fields
    threes = zip(found[::3], found[1::3], found[2::3], strict=True)
    return {after: (before, status == "R100") for status, before, after in threes}


def lay_out(git: Git, commit: str, base: str, swap: Mapping[str, str | None]) -> None:
    """See ``core.repository.Repository``; HEAD and its branch stay."""
    entries = _entries(git, base, sorted({each for each in swap.values() if each}))
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        env = {"GIT_INDEX_FILE": os.path.join(directory, "index")}
        git.run("read-tree", commit, env=env)
        lines = [_index_line(path, entries.get(source or "")) for path, source in swap.items()]
        given = os.fsencode("".join(lines))
        git.run("update-index", "-z", "--index-info", given=given, env=env)
        tree = git.run("write-tree", env=env).text
    git.run("read-tree", "--reset", "-u", tree)


def _entries(git: Git, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """Mode, kind and name of what a commit has at some paths."""
    found: dict[str, str] = {}
    for begin in range(0, len(paths), _MOST_PATHS):
        some = paths[begin : begin + _MOST_PATHS]
        for field in git.run("ls-tree", "--full-tree", "-z", commit, "--", *some).fields:
            entry, path = field.split("\t", 1)
            found[path] = entry
    return found


def _index_line(path: str, entry: str | None) -> str:
    return f"{entry}\t{path}\0" if entry else f"0 {'0' * 40}\t{path}\0"


def restore(git: Git, commit: str) -> None:
    """Have the files, and the worktree's own branch, as in a commit.

    What is ignored stays, and so does what was held back.
    """
    git.run("read-tree", "--reset", "-u", commit)
    unharmed = never_commit.unharmed(Path(git.env["GIT_DIR"]))
    git.run("clean", "-ffdq", *unharmed, accept=(0, 1))
    branch = git.ask("symbolic-ref", "--quiet", "HEAD")
    # Never a branch of the user's that somebody has gone to.
    own = not branch or branch.startswith(f"refs/heads/{BRANCHES}/")
    if own and git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}") != commit:
        git.run("update-ref", "-m", "orchestrator: as it was committed", "HEAD", commit)


def changed_any(git: Git, start: str, end: str) -> bool:
    """Also files that are gone."""
    return tree_of(git, start) != tree_of(git, end)
