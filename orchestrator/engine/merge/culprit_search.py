"""Merges workers' changes in order, and searches for culprits: changes with which the gates fail.

If all n changes pass together, the gates run once. Otherwise, a binary search runs the gates about
log2(n) + 1 times for each culprit.

After the second and each later culprit, another search checks if one earlier change causes the
failures of the last two culprits. If so, only this earlier change counts as a culprit. This search
may double the number of runs.
"""

from collections.abc import Callable, Sequence

from orchestrator.core.gates.gate import GateCause, GateOutcome, GateResult, GateStatus
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import FileConflict, MergedFile, MergeRule
from orchestrator.engine.merge.merge_order import MergePart

Results = Sequence[GateResult]


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeStep:
    """The merge of one worker's changes (a part) on top of the earlier parts."""

    part: MergePart
    #: The merged state. If the part could not be merged at all, this is the state before the step.
    commit: str
    #: True if the part contains changes.
    has_changes: bool = True
    #: True if the whole part was merged.
    is_whole: bool = True
    conflicts: tuple[FileConflict, ...] = ()
    #: Files with a special merge: git alone would report a conflict, or write to another path.
    files: tuple[MergedFile, ...] = ()
    #: Ids of child jobs whose results conflict with the worker's branch.
    conflicting_jobs: frozenset[str] = frozenset()

    @property
    def has_union(self) -> bool:
        return any(each.way is MergeRule.UNION for each in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """The merged state that passes the gates, and the parts that the state lacks."""

    #: The merged state; the base if nothing was merged.
    commit: str
    steps: tuple[MergeStep, ...]
    #: Parts with which the gates fail, each with the results of the gates.
    culprits: tuple[tuple[MergePart, Results], ...]
    #: Parts that were dropped because they build on a culprit.
    dropped: tuple[MergePart, ...]
    #: The gates' results on the merged state.
    results: Results


#: Function that merges a part (second argument) on top of a commit (first argument). The last
#: argument is True if the merge may be a union, which keeps the added lines of both sides.
Add = Callable[[str, MergePart, bool], MergeStep]
#: Function that runs the gates on a commit, and returns their results.
Judge = Callable[[str], Results]


class CulpritSearch:
    def __init__(self, base: str, parts: Sequence[MergePart], add: Add, judge: Judge) -> None:
        """``base``: the commit to merge into. The gates are assumed to pass on ``base``.

        ``add`` may merge a part as a union, which keeps the lines of both sides instead of
        reporting a conflict. If the gates fail after a union, ``add`` is called again without
        permission for a union, and then reports the conflict.
        """
        self._base = base
        self._all = list(parts)
        self._parts = list(parts)
        self._add = add
        self._judge = judge
        #: Results of gates, by commit.
        self._results: dict[str, Results] = {base: ()}
        self._steps: list[MergeStep] = []
        self._culprits: list[tuple[MergePart, Results]] = []
        #: Number of final culprits at the beginning of ``_culprits``. Each final culprit is the
        #: common cause of two failures.
        self._final = 0
        self._dropped: list[MergePart] = []
        #: Workers whose parts must be merged without a union of lines.
        self._without_union: set[str] = set()

    def run(self) -> SearchResult:
        """Merge the parts in order, and return the merged state that passes the gates.

        The state lacks only the culprits, the parts that build on culprits, and conflicting parts.
        """
        good = 0
        while True:
            del self._steps[good:]
            for part in self._parts[good:]:
                self._steps.append(self._step_on(self._state_after(len(self._steps)), part))
            results = self._results_after(len(self._steps))
            united = [number for number, step in enumerate(self._steps) if step.has_union]
            if blocked(results):
                good = self._exclude_culprit(self._first_failing_step(good) - 1)
            elif united and not required_gates_passed(results):
                good = united[0]
                workers = (self._steps[number].part.worker for number in united)
                self._without_union.update(worker.id for worker in workers)
            else:
                break
        return SearchResult(
            commit=self._state_after(len(self._steps)),
            steps=tuple(self._steps),
            culprits=tuple(self._culprits),
            dropped=tuple(self._dropped),
            results=results,
        )

    def _step_on(self, state: str, part: MergePart) -> MergeStep:
        return self._add(state, part, part.worker.id not in self._without_union)

    def _state_after(self, count: int) -> str:
        return self._steps[count - 1].commit if count else self._base

    def _results_after(self, count: int) -> Results:
        return self._results_of(self._state_after(count))

    def _results_of(self, commit: str) -> Results:
        if commit not in self._results:
            self._results[commit] = self._judge(commit)
        return self._results[commit]

    def _first_failing_step(self, good: int) -> int:
        """Return the number of the first step after which the gates fail, counted from 1.

        The gates must pass after step ``good``, and must fail after the last step.
        """
        bad = len(self._steps)
        while bad - good > 1:
            middle = (good + bad) // 2
            if blocked(self._results_after(middle)):
                bad = middle
            else:
                good = middle
        return bad

    def _exclude_culprit(self, good: int) -> int:
        """Exclude the part that makes the gates fail. Return the number of steps to keep.

        The gates pass after the first ``good`` steps, and fail after the next step. The culprit is
        the part (one worker's changes) that this next step merges, or an earlier part that is the
        real cause.

        If the next step merged its part as a union, exclude no part: merge this part again without
        the union.
        """
        culprit, results = self._steps[good].part, self._results_after(good + 1)
        if self._steps[good].has_union:
            # The union of lines may be the cause. Merge the part again without a union.
            self._without_union.add(culprit.worker.id)
            return good
        cause = self._common_cause(good)
        if cause is not None:
            # Exclude the cause, and check all other parts again.
            culprit, good = cause, 0
            del self._culprits[self._final :]
            self._final += 1
        self._culprits.append((culprit, results))
        self._select_parts()
        return good

    def _common_cause(self, good: int) -> MergePart | None:
        """Return an earlier part that causes the two latest failures, or None.

        The two failing parts are the latest excluded culprit, and the part of the step that follows
        the first ``good`` steps.

        Without the returned part, the gates pass on a merge of the earlier parts and the two
        failing parts. None of these parts depends on the returned part.
        """
        if not good or len(self._culprits) == self._final:
            return None
        before = [step.part for step in self._steps[:good]]
        culprits = [self._culprits[-1][0], self._steps[good].part]
        suspect = self._interacting_part(before, culprits[-1])
        others = [each for each in self._all if each in (*before, *culprits) and each != suspect]
        is_needed = any(suspect.worker.task_id in each.depends_on for each in others)
        return suspect if not is_needed and self._passes(others) else None

    def _interacting_part(self, before: Sequence[MergePart], culprit: MergePart) -> MergePart:
        """Return the part in ``before`` that makes the gates fail together with the culprit.

        The gates pass on a merge of the culprit and all parts that come before the returned part.
        If the returned part is added, the gates fail.
        """
        good, bad = 0, len(before)
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._passes([*before[:middle], culprit]):
                good = middle
            else:
                bad = middle
        return before[bad - 1]

    def _passes(self, parts: Sequence[MergePart]) -> bool:
        commit = self._base
        for part in parts:
            step = self._step_on(commit, part)
            if not step.is_whole:
                return False
            commit = step.commit
        return not blocked(self._results_of(commit))

    def _select_parts(self) -> None:
        culprits = [part for part, _ in self._culprits]
        remaining = {part.worker.task_id for part in self._all if part not in culprits}
        removed = {part.worker.task_id for part in culprits} - remaining
        self._parts, self._dropped = [], []
        # The parts are in the order of their dependencies, so one pass finds all dropped parts.
        for part in self._all:
            if part in culprits:
                continue
            if part.depends_on & removed:
                removed.add(part.worker.task_id)
                self._dropped.append(part)
            else:
                self._parts.append(part)


def blocked(results: Results) -> bool:
    return any(each.blocks for each in results)


def required_gates_passed(results: Results) -> bool:
    """True if every required gate has passed or has nothing to judge."""
    return all(_passed_or_idle(each) for each in results if each.required)


def _passed_or_idle(result: GateResult) -> bool:
    nothing_changed = result.cause is GateCause.NOTHING_CHANGED
    idle = nothing_changed or (result.status is GateStatus.SKIPPED and result.cause is None)
    return idle or result.outcome is GateOutcome.PASSED
