"""Lands a job's result on the branch that the user has checked out, and undoes a landing.

If the job started from uncommitted work, the branch gets only the workers' changes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from shlex import quote

from orchestrator.core.errors import BlockingFiles, Conflict, NotFound, RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.git_refs import (
    branch_of,
    dirty_ref,
    hidden,
    job_commit_message,
    landed_refs,
    result_branch,
    short,
)
from orchestrator.core.repository.landing import BranchMove, LandOptions
from orchestrator.core.repository.repository import Merge, Signature
from orchestrator.core.text.command_name import COMMAND, git_in
from orchestrator.core.text.formatting import listed, plural
from orchestrator.git.command.ref_files import listed_refs
from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.git.commits.commit_creation import commit_tree, has_changes, tree_of
from orchestrator.git.landing import interrupted_checkout, squash, update_checkout
from orchestrator.git.landing.authorship import as_users, signature_of_user
from orchestrator.git.landing.checkout_checks import (
    check_clean,
    check_committed,
    is_between,
    outdated_submodules,
    update_command,
)
from orchestrator.git.merge import merge_tree
from orchestrator.git.merge.file_merge import merged_by_drivers
from orchestrator.security.files.umask import users_umask

_NOBODY = Signature(name="orchestrator", email="merge@orchestrator.invalid")


def merged(git: Git, head: str, dirt: str, result: str, message: str) -> str:
    """Return a commit on ``head`` with the changes of ``result`` since ``dirt``.

    Raise BlockingFiles if the changes conflict.

    ``dirt``: the job's start commit, with work that the user had not committed at that time.
    ``dirt`` is the merge base, because the user may have committed this work since then. With an
    earlier merge base, both sides would seem to add this work, and a worker's changes of the same
    lines would conflict.
    """
    evolved = commit_tree(git, tree_of(git, head), [head, dirt], message, _NOBODY)
    trial = merge_tree.merge(git, evolved, result, message, _NOBODY)
    if trial.conflicts:
        raise _conflict_error(
            trial, "commit the work that was uncommitted when the job started, or merge by hand"
        )
    return commit_tree(git, tree_of(git, trial.commit), [head, result], message, _NOBODY)


_LINK, _MODULE = "120000", "160000"
#: Beginning of the pointer that replaces a file in Git LFS.
_POINTER = b"version https://git-lfs.github.com/spec/"
_KINDS = {_LINK: "the path is a link", _MODULE: "the path is a submodule"}


def _conflict_error(merge: Merge, advice: str) -> BlockingFiles:
    paths = [each.path for each in merge.conflicts]
    files = f"{plural(len(paths), 'file')}: {', '.join(paths[:10])}"
    return BlockingFiles(
        f"cannot land: the job and your branch both changed {files}; {advice}",
        files=paths,
        kind="merge-conflict",
    )


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """A changed path, relative to the top of the repository."""

    path: str
    executable: bool
    #: Id of the file's blob; empty if the file no longer exists.
    blob: str
    #: Reason why the content is not available; empty if the content is available.
    kind: str


def changed(git: Git, base: str, result: str) -> Iterator[ChangedPath]:
    quiet = ("--no-renames", "--raw", "-r", "-z", "--no-abbrev")
    fields = iter(git.run("diff-tree", *quiet, base, result, "--").fields)
    for words in fields:
        _, mode, _, blob, status = words.removeprefix(":").split(" ")
        is_deleted = status.startswith("D")
        yield ChangedPath(
            next(fields), mode == "100755", "" if is_deleted else blob, _KINDS.get(mode, "")
        )


def content(git: Git, changed_path: ChangedPath) -> bytes:
    """Return the content of a changed file as a checkout would write it.

    Raise OSError if the content is not available.
    """
    try:
        written = git.run(
            "cat-file", "--filters", f"--path={changed_path.path}", changed_path.blob
        ).out
    except RepositoryError as error:
        raise OSError(error.message) from error
    if written.startswith(_POINTER):
        raise OSError(
            "the file's content is in Git LFS and was not fetched; fetch it: git lfs fetch"
        )
    return written


@dataclass(frozen=True, slots=True)
class Landing:
    """Implements ``core.repository.landing.ResultLanding``."""

    project: Path
    root_id: str
    job_id: str
    #: True to make the user the author and committer of the landed commits.
    as_user: bool = False

    @property
    def _git(self) -> Git:
        return Git(str(self.project), {}, users_umask())

    @property
    def _branch(self) -> str:
        return result_branch(self.root_id, self.job_id)

    @property
    def _before_ref(self) -> str:
        return self._ref("before")

    @property
    def _after_ref(self) -> str:
        return self._ref("after")

    @property
    def _rewritten_ref(self) -> str:
        """The ref that records the landed result if the landing rewrote the result's commits.

        A landing rewrites commits to squash them, or to make the user their author.
        """
        return self._ref("result")

    @property
    def _undoing_ref(self) -> str:
        return self._ref("undoing")

    def _ref(self, what: str) -> str:
        # The name includes the checked-out branch, so that ``undo`` cannot undo a landing on
        # another branch.
        branch = self._git.ask("symbolic-ref", "--quiet", "HEAD").removeprefix("refs/")
        return f"{self._ref_prefix}{what}/{branch or 'HEAD'}"

    @property
    def _ref_prefix(self) -> str:
        return landed_refs(self.root_id, self.job_id)

    def switch_command(self, branch: str) -> str:
        return f"{git_in(self.project)} switch {quote(branch)}"

    def result(self) -> str:
        commit = self._git.resolve(self._branch)
        if not commit:
            raise NotFound(
                f"job {self.job_id} has no merged result: {self._reason_for_no_result()}"
            )
        return commit

    def check_holds(self, recorded: str) -> None:
        result = self.result()
        if result == recorded or self._git.is_ancestor(recorded, result):
            return
        head = self._head()
        if self._git.is_ancestor(recorded, head) or self._rewritten_on(head, recorded):
            return
        # The branch does not contain the recorded result. Accept the branch if the user may have
        # rebased it. Reject the branch if its commit is an earlier result, or is in the history of
        # HEAD.
        if self._git.is_ancestor(result, recorded) or self._git.is_ancestor(result, head):
            raise Conflict(
                f"branch {self.head} was moved: it no longer contains commit {recorded[:12]}, the "
                f"result of job {self.job_id}; nothing was changed; restore the branch while "
                f"another branch is checked out: {git_in(self.project)} branch -f {self.head} "
                f"{recorded[:12]}"
            )

    def _reason_for_no_result(self) -> str:
        if not self._git.has_repository:
            copying = f"{COMMAND} apply {self.job_id}"
            return (
                f"the project is not a git repository; copy the files of the job's workers: "
                f"{copying}"
            )
        starts = listed_refs(self._git, self._start_prefix)
        if not starts:
            return self._no_branch(
                f"if the job's workers had no worktrees, copy their files: {COMMAND} apply"
            )
        if not any(map(self._may_have_changes, starts)):
            return "the branches of the job's workers have no changes"
        return self._no_branch(
            "when the job ends, the branches of its successful workers are merged; show the job's "
            f"status, and commands that merge branches: {COMMAND} status"
        )

    def _no_branch(self, command: str) -> str:
        return f"there is no branch {short(self._branch)}; {command} {self.job_id}"

    @property
    def _start_prefix(self) -> str:
        """Prefix of the refs with the start commits of workers."""
        return f"{hidden(self.root_id)}start/"

    def _may_have_changes(self, start: str) -> bool:
        tip = self._git.resolve(branch_of(self.root_id, start.removeprefix(self._start_prefix)))
        return not tip or has_changes(self._git, start, tip)

    def span(self) -> tuple[str, str]:
        """Return the commit from which the job started, and the commit of its result."""
        result = self.result()
        return self._start(), result

    def diff(self, *, stat: bool) -> bytes:
        """Return the job's changes as a patch for git apply.

        ``stat``: True to return the numbers of changed lines instead.
        """
        base, result = self.span()
        options = ("--stat=100",) if stat else ("--patch", "--binary", "--full-index")
        quiet = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
        return self._git.run("diff", *options, *quiet, base, result, "--").out

    @property
    def _base_ref(self) -> str:
        return f"{hidden(self.root_id)}base/{self.job_id}"

    def _start(self) -> str:
        """Return the commit from which the job started.

        If the job was discarded, the ref with this commit is missing. In this case, return the last
        common ancestor of HEAD and the result.
        """
        recorded = self._git.resolve(self._base_ref)
        return recorded or self._git.ask("merge-base", "HEAD", self.result())

    @property
    def _dirt(self) -> str:
        """The commit with the user's uncommitted work at the job's start; "" without such work."""
        return self._git.ask("rev-parse", "--verify", "--quiet", dirty_ref(self.root_id))

    def changed(self) -> Iterator[tuple[ChangedPath, Callable[[], bytes]]]:
        """Yield every path that the job changed, with a function that returns its content."""
        for path in changed(self._git, *self.span()):
            yield path, partial(content, self._git, path)

    def branch(self) -> str:
        name = self._git.ask("symbolic-ref", "--quiet", "HEAD")
        return short(name) if name else "HEAD (detached: on no branch)"

    def files(self) -> Sequence[str]:
        return [each.path for each in changed(self._git, *self.span())]

    def land(self, how: LandOptions = LandOptions.ANY, title: str = "") -> BranchMove:
        branch, result = self.branch(), self.result()
        self._resume()
        if self._dirt:
            check_committed(self._git, self._dirt, self.job_id)
        check_clean(self._git)
        before = self._head()
        common = self._git.ask("merge-base", before, result)
        if common == result:
            text = f"nothing to do: {branch} already has all commits of the job's result"
            return BranchMove(branch=branch, before=before, after=before, text=text)
        rewritten = self._rewritten_on(before, result)
        if rewritten:
            text = f"nothing to do: the job already landed on {branch}, as commit {rewritten[:12]}"
            return BranchMove(branch=branch, before=before, after=before, text=text)
        if not common:
            raise Conflict(
                f"cannot land: {branch} and the start of job {self.job_id} have no common "
                "ancestor; check out the branch on which you submitted the job"
            )
        if how is LandOptions.FAST_FORWARD and common != before:
            raise Conflict(f"cannot fast-forward: {branch} has new commits; land without --ff-only")
        straight = common == before and how is not LandOptions.MERGE
        after = self._commit_to_land(before, result, straight=straight)
        way = "fast-forward" if after == result else "a merge commit"
        if how is LandOptions.SQUASH:
            after, way = self._squashed(before, after, result, title), "one commit"
        elif self.as_user:
            after = self._as_users(before, after)
            way += f", author {self._user().name}"
        self._move(before, after, "" if self._git.is_ancestor(result, after) else result)
        text = f"{branch} is at {after[:12]} now ({way}); it was at {before[:12]}"
        if common != before:
            text += (
                f"; no gate has judged the result together with the newer commits of {branch}: run "
                "your tests"
            )
            if paths := merged_by_drivers(self._git, before, result):
                text += f"; your merge driver, which may omit changes, merged {listed(paths)}"
        text += self._submodule_note()
        return BranchMove(branch=branch, before=before, after=after, text=text)

    def to_push(self) -> str:
        """Return the commit to push for a pull request: the job's result.

        If ``as_user`` is True, the commits are rewritten, so that the user is their author. Raise
        Conflict if the job started from uncommitted work.
        """
        result = self.result()
        if self._dirt:
            raise Conflict(
                "cannot push: the result contains the uncommitted work with which the job started; "
                f"commit that work, run `{COMMAND} land {self.job_id}`, and push your branch"
            )
        base = self._git.resolve(self._base_ref)
        return as_users(self._git, result, [base], self._user()) if self.as_user else result

    def title(self, request: str) -> str:
        return squash.subject_of(request, self.job_id)

    @property
    def head(self) -> str:
        """The name of the result branch."""
        return short(self._branch)

    def _commit_to_land(self, before: str, result: str, *, straight: bool) -> str:
        """Return the commit to which the user's branch moves when the result is landed.

        ``straight``: True to fast-forward the branch to the result.
        """
        words = job_commit_message(f"Merge the result of job {self.job_id}", self.job_id)
        if self._dirt and not self._git.is_ancestor(self._dirt, before):
            # The merge commit that ``merged`` returns needs no further merge.
            return merged(self._git, before, self._dirt, result, words)
        if straight:
            return result
        tree = tree_of(self._git, self._trial_merge(self._with_rewritten(before, result), result))
        return commit_tree(self._git, tree, [before, result], words, self._signature())

    def _squashed(self, before: str, commit: str, result: str, title: str) -> str:
        base = self._git.resolve(self._base_ref)
        span = (result, f"^{before}", *((f"^{base}",) if base else ()))
        author = self._user() if self.as_user else self._signature()
        words = squash.message(self._git, self.job_id, title, span, author)
        return squash.squash(self._git, commit, before, words, author)

    def _as_users(self, before: str, after: str) -> str:
        """Make the user the author of the workers' commits from ``before`` to ``after``.

        Return the rewritten commit ``after``.
        """
        # The commits ``without`` stay unchanged. Commits of the result that an earlier landing has
        # rewritten are rewritten again, which creates the same commits.
        without = [before, *filter(None, [self._dirt])]
        return as_users(self._git, after, without, self._user())

    def _rewritten_on(self, head: str, result: str) -> str:
        """Return the commit in the history of ``head`` with which ``result`` was landed.

        Return "" if no landing in this history rewrote the commits of ``result``.
        """
        commits = squash.landed_at(self._git, self.root_id, self.job_id, result)
        return next((each for each in commits if self._git.is_ancestor(each, head)), "")

    def _with_rewritten(self, head: str, result: str) -> str:
        """Return the commit with which the result is merged: usually ``head``.

        If an earlier result was landed as rewritten commits, git does not know that ``head``
        already has this result. In this case, return a temporary merge of ``head`` with the earlier
        result. Without this merge, git would report conflicts in lines of the earlier result. The
        earlier result is a result of this job, or of a job that this job continues.
        """
        own = self._git.resolve(self._rewritten_ref)
        earlier = [own] if own and self._rewritten_on(head, own) else []
        earlier += squash.rewritten_results(self._git, head, result)
        if not earlier:
            return head
        parents = [head, *dict.fromkeys(earlier)]
        return commit_tree(self._git, tree_of(self._git, head), parents, "", _NOBODY)

    def _move(self, before: str, after: str, rewritten: str) -> None:
        # Record the landing first, so that it can be undone even if a crash interrupts the move.
        former_move = self._noted_move()
        former_result = self._git.resolve(self._rewritten_ref)
        self._note_move(before, after, rewritten)
        try:
            update_checkout.move(self._git, before, after, f"orchestrator land {self.job_id}")
        except Exception:
            with suppress(RepositoryError):
                self._note_move(*former_move, former_result)
            raise

    def _noted_move(self) -> tuple[str, str]:
        before, after = (self._git.resolve(each) for each in (self._before_ref, self._after_ref))
        return before, after

    def _note_move(self, before: str, after: str, rewritten: str) -> None:
        # Write the ref of the result last, because only this ref makes the record valid.
        moved = ((self._before_ref, before), (self._after_ref, after), (self._undoing_ref, ""))
        for ref, commit in ((self._rewritten_ref, ""), *moved, (self._rewritten_ref, rewritten)):
            self._git.run("update-ref", *ITSELF, *((ref, commit) if commit else ("-d", ref)))

    def undo(self) -> BranchMove:
        resumed = self._resume()
        branch = self.branch()
        before, after = self._noted_move()
        if resumed and self._head() == before:
            text = f"an interrupted landing was undone; {branch} is at {before[:12]} again"
            return BranchMove(branch=branch, before=after, after=before, text=text)
        self.check_undoable()
        if self._head() == before:
            raise self._not_landed()
        is_rewritten = self._git.resolve(self._rewritten_ref)
        refs = (
            *((self._rewritten_ref,) if is_rewritten else ()),
            self._before_ref,
            self._after_ref,
        )
        why = f"orchestrator undo {self.job_id}"
        update_checkout.move(self._git, after, before, why, drop=refs, mark=self._undoing_ref)
        text = f"{branch} is back at {before[:12]}, its commit before the landing"
        text += self._submodule_note()
        return BranchMove(branch=branch, before=after, after=before, text=text)

    def _submodule_note(self) -> str:
        try:
            modules = outdated_submodules(self._git)
        except RepositoryError:  # The branch has been moved, so do not report a failure.
            return ""
        if not modules:
            return ""
        return f"; to update the files of submodules: {update_command(self._git, modules)}"

    def check_undoable(self) -> None:
        """Raise NotFound if the job was not landed, and Conflict if ``undo`` is impossible.

        Uncommitted files of the checkout are not checked. Nothing is changed.
        """
        if not self._git.has_repository:
            raise NotFound("nothing to undo: the project is not a git repository")
        branch = self.branch()
        before, after = self._noted_move()
        if not before or not after:
            self._check_not_elsewhere(branch)
            raise self._not_landed()
        # The head is at ``before`` if the landing was interrupted.
        if self._head() not in (before, after):
            raise Conflict(
                f"cannot undo: {branch} has moved since the landing ({after[:12]}); to revert only "
                f"the changes of the job: `{self._revert_command(before, after)}`"
            )

    def _not_landed(self) -> NotFound:
        return NotFound(f"nothing to undo: job {self.job_id} is not landed on {self.branch()}")

    def is_landed(self) -> bool:
        """True if the checked-out branch has the whole result already."""
        head, result = self._head(), self.result()
        return self._git.is_ancestor(result, head) or bool(self._rewritten_on(head, result))

    def has_earlier_result(self) -> bool:
        result, base = self._git.resolve(self._branch), self._git.resolve(self._base_ref)
        if not result or not base:
            return False
        common = self._git.ask("merge-base", "HEAD", result)
        if common and not self._git.is_ancestor(common, base):
            return True
        # A squashed result has only the job's trailer in common with the result branch.
        trailer = f"--grep=^Orchestrator-Job: {self.job_id}$"
        return bool(self._git.ask("rev-list", "--max-count=1", trailer, f"{base}..HEAD", "--"))

    def check_not_less(self) -> None:
        head, result = self._head(), self.result()
        before, after = self._noted_move()
        is_landed = before and after and self._git.is_ancestor(after, head)
        if not is_landed or not self._git.is_ancestor(result, head):
            return
        span = ("--no-merges", "--max-count=1", after, f"^{before}", f"^{result}")
        if self._git.run("rev-list", *span, "--").text:
            raise Conflict(
                f"cannot land: {self.branch()} has an earlier result, with changes that the new "
                f"result lacks; first remove the earlier result: {COMMAND} undo {self.job_id}"
            )

    def landed_on(self, branch: str) -> tuple[str, str] | None:
        on_branch = not branch.startswith("HEAD ")
        where = f"heads/{branch}" if on_branch else "HEAD"
        tip = self._git.resolve(f"refs/{where}" if on_branch else where)
        before, after = (
            self._git.resolve(f"{self._ref_prefix}{what}/{where}") for what in ("before", "after")
        )
        if not (tip and before and after) or before == after:
            return None
        return (before, after) if self._git.is_ancestor(after, tip) else None

    def is_moving(self) -> bool:
        return interrupted_checkout.is_locked(self._git)

    def _check_not_elsewhere(self, branch: str) -> None:
        prefix = f"{self._ref_prefix}after/"
        for after, landed in listed_refs(self._git, prefix).items():
            name = after.removeprefix(prefix)
            tip = self._git.ask("rev-parse", f"refs/{name}")
            if name != "HEAD" and tip and self._git.is_ancestor(landed, tip):
                raise Conflict(
                    f"job {self.job_id} was landed on {short(f'refs/{name}')}, but {branch} is "
                    f"checked out; check out {short(f'refs/{name}')} first"
                )

    def _resume(self) -> bool:
        """Restore the files of HEAD if ``land`` or ``undo`` was killed while changing files.

        Return True if files were restored, and False if there was nothing to restore. Raise
        Conflict if a file was changed after the interruption, or if another git may be running.
        """
        before, after = self._noted_move()
        if not before or not after:
            return False
        undoing = self._git.resolve(self._undoing_ref)
        head = self._head()
        if head == before:
            target, what = after, "landing of"
        elif head == after and undoing:
            target, what = before, "undo of"
        else:
            return False
        between = is_between(self._git, head, target)
        if not between and not interrupted_checkout.has_only_added(self._git, head, target):
            return False
        if interrupted_checkout.restore(self._git, head, target):
            if undoing:
                self._git.run("update-ref", *ITSELF, "-d", self._undoing_ref)
            return True
        if not between:
            return False
        raise Conflict(
            f"the {what} job {self.job_id} was interrupted, and cannot be rolled back: a file was "
            f"changed since then, or another git process is running; "
            f"{self._how_to_complete(target)}"
        )

    def _how_to_complete(self, commit: str) -> str:
        lock = self._git.run("rev-parse", "--absolute-git-dir").line + "/index.lock"
        command, when = f"{git_in(self.project)} reset --hard {commit[:12]}", ""
        if os.path.lexists(lock):
            command, when = f"rm {quote(lock)} && {command}", ", if no other git process is running"
        return f"to complete it by hand{when}: `{command}` (discards later changes of files)"

    def _revert_command(self, before: str, after: str) -> str:
        git = git_in(self._git.run("rev-parse", "--show-toplevel").line)
        parents = self._git.run("rev-parse", f"{after}^@").text.split()
        if parents[:1] == [before]:
            return f"{git} revert {'-m 1 ' if parents[1:] else ''}{after[:12]}"
        # In a subdirectory, ``git apply`` would skip the files outside of it.
        return f"{git} diff --binary {after[:12]} {before[:12]} | {git} apply --3way"

    def _head(self) -> str:
        return self._git.run("rev-parse", "--verify", "HEAD").text

    def _trial_merge(self, before: str, result: str) -> str:
        trial = merge_tree.merge(self._git, before, result, "trial", _NOBODY)
        if trial.conflicts:
            raise _conflict_error(
                trial, f"merge by hand: {git_in(self.project)} merge {short(self._branch)}"
            )
        return trial.commit

    def _user(self) -> Signature:
        """Return the user's signature. Raise Conflict if git's configuration has no user."""
        signature = self._signature()
        if signature is _NOBODY:
            git = git_in(self.project)
            raise Conflict(
                "git.author is 'user', but git has no user; nothing was changed; run "
                f"`{git} config user.name NAME` and `{git} config user.email ADDRESS`"
            )
        return signature

    def _signature(self) -> Signature:
        return signature_of_user(self._git) or _NOBODY
