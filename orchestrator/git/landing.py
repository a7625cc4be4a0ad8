"""Taking a job's result onto the branch that the user has checked out, and taking it back."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import Conflict, NotFound, RepositoryError
from orchestrator.core.repository import Signature, hidden, result_branch, short
from orchestrator.git import merging
from orchestrator.git.commits import signed
from orchestrator.git.running import Git

_NOBODY = Signature(name="orchestrator", email="merge@orchestrator.invalid")


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

    def branch(self) -> str:
        """The branch that is checked out. Raise Conflict when there is none."""
        name = self._git.ask("symbolic-ref", "--quiet", "HEAD")
        if not name:
            raise Conflict("no branch is checked out (detached HEAD); check out the one to land on")
        return short(name)

    def land(self) -> str:
        """Fast-forward, or a merge commit; what was done, in words."""
        branch, result = self.branch(), self.result()
        self._check_clean()
        before = self._head()
        if self._git.ask("merge-base", before, result) == result:
            return f"nothing to do: {branch} has all of it"
        self._check_merge(before, result)
        words = f"Merge the result of job {self.job_id}"
        how = ("--ff", "--no-edit", "--no-verify", "--no-autostash", "--no-stat", "-m", words)
        self._try("merge", *how, result)
        after = self._head()
        self._git.run("update-ref", self._before, before)
        self._git.run("update-ref", self._after, after)
        how_landed = "fast-forward" if after == result else "a merge commit"
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
