"""Taking a job's result onto the branch that the user has checked out, and taking it back."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from orchestrator.core.errors import Conflict, NotFound, RepositoryError
from orchestrator.core.refs import dirty_ref, hidden, result_branch, short
from orchestrator.core.repository import Signature
from orchestrator.git import exporting, merging, snapshots
from orchestrator.git.commits import signed
from orchestrator.git.exporting import Changed
from orchestrator.git.running import Git

_NOBODY = Signature(name="orchestrator", email="merge@orchestrator.invalid")


class How(Enum):
    """What a branch gets."""

    #: a fast-forward, or else a merge commit
    ANY = "--ff"
    FAST_FORWARD = "--ff-only"
    MERGE = "--no-ff"


@dataclass(frozen=True, slots=True)
class Landing:
    """Of one job's result. Every method raises Conflict where it cannot be done, and then has
    changed nothing."""

    project: Path
    root_id: str
    job_id: str

    @property
    def _git(self) -> Git:
        return Git(str(self.project), {})

    @property
    def _branch(self) -> str:
        return result_branch(self.root_id, self.job_id)

    @property
    def _before(self) -> str:
        return f"{hidden(self.root_id)}landed/{self.job_id}/before"

    @property
    def _after(self) -> str:
        return f"{hidden(self.root_id)}landed/{self.job_id}/after"

    def result(self) -> str:
        """The commit that came out of the job. Raise NotFound when nothing did."""
        commit = self._git.ask("rev-parse", "--verify", "--quiet", self._branch)
        if not commit:
            raise NotFound(
                f"job {self.job_id} has no merged result: there is no branch {short(self._branch)}"
            )
        return commit

    def diff(self, *, stat: bool) -> bytes:
        """What the job changed, as a patch that git apply takes, or in short."""
        result = self.result()
        base = self._git.ask("rev-parse", "--verify", "--quiet", self._base)
        how = ("--stat=100",) if stat else ("--patch", "--binary", "--full-index")
        quiet = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
        return self._git.run("diff", *how, *quiet, base, result, "--").out

    @property
    def _base(self) -> str:
        return f"{hidden(self.root_id)}base/{self.job_id}"

    @property
    def _dirt(self) -> str:
        """What the job began with, when it took uncommitted work along; else empty."""
        return self._git.ask("rev-parse", "--verify", "--quiet", dirty_ref(self.root_id))

    def _has(self, commit: str, ancestor: str) -> bool:
        return self._git.ask("merge-base", commit, ancestor) == ancestor

    def changed(self) -> Iterator[tuple[Changed, Callable[[], bytes]]]:
        """Every path that the job changed, with what gives its content."""
        base = self._git.ask("rev-parse", "--verify", "--quiet", self._base)
        for found in exporting.changed(self._git, base, self.result()):
            yield found, partial(exporting.content, self._git, found)

    def branch(self) -> str:
        """What is checked out: a branch, or in words a commit."""
        name = self._git.ask("symbolic-ref", "--quiet", "HEAD")
        return short(name) if name else "HEAD (detached: on no branch)"

    def land(self, how: How = How.ANY) -> str:
        """Fast-forward, or a merge commit; what was done, in words."""
        branch, result = self.branch(), self.result()
        if self._dirt:
            snapshots.check_committed(self._git, self._dirt)
        self._check_clean()
        before = self._head()
        common = self._git.ask("merge-base", before, result)
        if common == result:
            return f"nothing to do: {branch} has all of it"
        if how is How.FAST_FORWARD and common != before:
            raise Conflict(f"{branch} went on since the job began: it takes a merge commit")
        words = f"Merge the result of job {self.job_id}"
        if self._dirt and not self._has(before, self._dirt):
            # That is a merge commit already.
            result, how = snapshots.merged(self._git, before, self._dirt, result, words), How.ANY
        else:
            self._check_merge(before, result)
        self._check_untracked(before, result)
        quiet = ("--no-edit", "--no-verify", "--no-autostash", "--no-stat", "-m", words)
        self._try("merge", how.value, *quiet, result)
        after = self._head()
        self._git.run("update-ref", self._before, before)
        self._git.run("update-ref", self._after, after)
        how_landed = "fast-forward" if after == self.result() else "a merge commit"
        return f"{branch} is at {after[:12]} now ({how_landed}); it was at {before[:12]}"

    def undo(self) -> str:
        """Have the branch where it was before ``land``; what was done, in words."""
        branch = self.branch()
        before, after = (
            self._git.ask("rev-parse", "-q", "--verify", each)
            for each in (self._before, self._after)
        )
        if not before or not after:
            raise NotFound(f"job {self.job_id} was not landed, or that was undone already")
        if self._head() != after:
            raise Conflict(
                f"{branch} is not at {after[:12]}, where landing left it; "
                f"git revert {after[:12]} takes the changes back without touching what came later"
            )
        self._check_clean()
        self._try("reset", "--keep", before)
        self._git.run("update-ref", "-d", self._before)
        self._git.run("update-ref", "-d", self._after)
        return f"{branch} is at {before[:12]} again"

    def _try(self, *arguments: str) -> None:
        """What git refuses to do to the checkout. Raise Conflict."""
        try:
            self._git.run(*arguments, env=self._signature())
        except RepositoryError as error:
            raise Conflict(f"{error.message} (nothing was changed)") from error

    def _head(self) -> str:
        return self._git.run("rev-parse", "--verify", "HEAD").text

    def _check_clean(self) -> None:
        status = self._git.run("status", "--porcelain=v2", "-z", "--untracked-files=no")
        if status.fields:
            raise Conflict(
                f"the checkout has {len(status.fields)} changed files; commit or stash them first"
            )

    def _check_untracked(self, before: str, result: str) -> None:
        """Git itself would write over files that are ignored."""
        top = self._git.run("rev-parse", "--show-toplevel").text
        added = ("--name-only", "--diff-filter=A", "--no-renames", "-r", "-z")
        paths = self._git.run("diff-tree", *added, before, result, "--").fields
        tracked = {*self._git.run("ls-files", "-z", "--full-name", "--", top).fields}
        places = dict.fromkeys(filter(None, map(partial(_in_the_way, top), paths)))
        lost = [each for place in places for each in _files(top, place) if each not in tracked]
        if lost:
            raise Conflict(
                f"{len(lost)} files that git does not track would be lost: "
                f"{', '.join(lost[:10])}; move them away first"
            )

    def _check_merge(self, before: str, result: str) -> None:
        tried = merging.merge(self._git, before, result, "trial", _NOBODY, force=False)
        if tried.conflicts:
            paths = ", ".join(each.path for each in tried.conflicts[:10])
            raise Conflict(
                f"{len(tried.conflicts)} files were changed on both sides: {paths}; "
                f"merge by hand: git merge {short(self._branch)}"
            )

    def _signature(self) -> dict[str, str]:
        """The user's own; ours where they have none."""
        has_name = self._git.ask("config", "user.name") and self._git.ask("config", "user.email")
        return {} if has_name else dict(signed(_NOBODY))


def _in_the_way(top: str, path: str) -> str:
    """What is where a file is to come, or a directory of its path; empty for nothing."""
    parts = path.split("/")
    for count in range(1, len(parts)):
        above = "/".join(parts[:count])
        place = os.path.join(top, above)
        if os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):
            return above
    return path if os.path.lexists(os.path.join(top, path)) else ""


def _files(top: str, path: str) -> Iterator[str]:
    """What is lost with a path: itself, or all that a directory has in it."""
    if os.path.islink(os.path.join(top, path)) or not os.path.isdir(os.path.join(top, path)):
        yield path
        return
    with os.scandir(os.path.join(top, path)) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            yield from _files(top, f"{path}/{entry.name}")
