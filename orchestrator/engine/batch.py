"""Changes of several workers put on top of each other, and those found that the gates refuse.

Few runs of the gates: one for the whole batch; for each culprit as many as halving the batch takes,
and one for the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.core.gates import GateResult
from orchestrator.core.model import TaskSpec, Worker
from orchestrator.core.repository import FileConflict

Results = Sequence[GateResult]


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker changed."""

    worker: Worker
    #: Ids of the tasks that its own one builds on.
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A part, on top of those before it."""

    part: Part
    #: What came out: the state before it where nothing of it could be taken.
    commit: str
    #: Whether there is anything of its own in it.
    changes: bool = True
    #: Whether nothing of it was left out.
    taken: bool = True
    conflicts: tuple[FileConflict, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    #: What came out; where everything began when nothing was taken.
    commit: str
    steps: tuple[Step, ...] = ()
    #: Parts with which the gates fail, and what they say then.
    culprits: tuple[tuple[Part, Results], ...] = ()
    #: Parts that build on one of those.
    dropped: tuple[Part, ...] = ()
    #: What the gates say of the result.
    results: Results = ()


#: Puts a part on top of a state.
Add = Callable[[str, Part], Step]
#: What the gates say of a state.
Judge = Callable[[str], Results]


class Batch:
    def __init__(self, base: str, parts: Sequence[Part], add: Add, judge: Judge) -> None:
        """``base`` passes: gates judge what was changed since."""
        self._base = base
        self._parts = list(parts)
        self._add = add
        self._judge = judge
        self._known: dict[str, Results] = {base: ()}
        self._steps: list[Step] = []
        self._culprits: list[tuple[Part, Results]] = []
        self._dropped: list[Part] = []

    def settle(self) -> Settled:
        """The most that passes, in order: without those that make the gates fail."""
        good = 0
        while True:
            self._put_on_top(good)
            results = self._results(len(self._steps))
            if not blocked(results):
                break
            good = self._find(good) - 1
            self._drop(self._steps[good].part, self._results(good + 1))
        return Settled(
            commit=self._state(len(self._steps)),
            steps=tuple(self._steps),
            culprits=tuple(self._culprits),
            dropped=tuple(self._dropped),
            results=results,
        )

    def _put_on_top(self, good: int) -> None:
        """Rebuild what comes after the first ``good`` steps."""
        del self._steps[good:]
        for part in self._parts[good:]:
            self._steps.append(self._add(self._state(len(self._steps)), part))

    def _state(self, count: int) -> str:
        return self._steps[count - 1].commit if count else self._base

    def _results(self, count: int) -> Results:
        commit = self._state(count)
        if commit not in self._known:
            self._known[commit] = self._judge(commit)
        return self._known[commit]

    def _find(self, good: int) -> int:
        """How many steps it takes until the gates fail: between ``good``, and all of them."""
        bad = len(self._steps)
        while bad - good > 1:
            middle = (good + bad) // 2
            if blocked(self._results(middle)):
                bad = middle
            else:
                good = middle
        return bad

    def _drop(self, culprit: Part, results: Results) -> None:
        self._culprits.append((culprit, results))
        gone = {culprit.worker.task_id}
        left: list[Part] = []
        # They are in order of their dependencies.
        for part in self._parts:
            if part is culprit:
                continue
            if part.needs & gone:
                gone.add(part.worker.task_id)
                self._dropped.append(part)
            else:
                left.append(part)
        self._parts = left


def blocked(results: Results) -> bool:
    return any(each.blocks for each in results)


def in_order(parts: Sequence[Part], built_on_others: Callable[[Worker], bool]) -> list[Part]:
    """Those that have the others' changes in them come last, and what builds on them after."""
    early: list[Part] = []
    late: list[Part] = []
    tasks: set[str] = set()
    for part in parts:
        if built_on_others(part.worker) or part.needs & tasks:
            tasks.add(part.worker.task_id)
            late.append(part)
        else:
            early.append(part)
    return early + late


def split(
    parts: Sequence[Part], tasks: Sequence[TaskSpec]
) -> tuple[list[Part], list[tuple[Part, str]]]:
    """Those that build on nothing that is missing; the others with the task that is."""
    present = {part.worker.task_id for part in parts}
    missing = {task.id for task in tasks} - present
    whole: list[Part] = []
    without: list[tuple[Part, str]] = []
    for part in parts:
        lacking = sorted(part.needs & missing)
        if lacking:
            missing.add(part.worker.task_id)
            without.append((part, lacking[0]))
        else:
            whole.append(part)
    return whole, without
