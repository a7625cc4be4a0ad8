"""Detects two kinds of tampering with gates.

- The run of a gate changed tracked files. Each change is a finding.
- A worker altered judging files, which are files that decide how gates judge, such as tests. The
  gate then runs again with the base's versions of these files.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.findings import Finding
from orchestrator.core.gates.gate import (
    AlterationPermission,
    Check,
    Gate,
    GateOutcome,
    GatePlace,
    GateResult,
)
from orchestrator.core.gates.tampering import (
    MIXED,
    JudgeAlteration,
    JudgeMove,
    alteration,
    has_only_fixtures,
    judges_equally,
    restricted_permissions,
)
from orchestrator.core.repository.repository import Repository
from orchestrator.core.text.path_patterns import matching

logger = logging.getLogger(__name__)


def gate_rewrites(repository: Repository, directory: str, commit: str) -> tuple[Finding, ...]:
    """Return one finding for each place in a tracked file that a gate's run has changed.

    ``directory``: a worktree in which ``commit`` was checked out before the run. Paths in the
    findings are relative to the project. After an error, which is logged, return no findings.
    """
    try:
        places_by_path = repository.changed_places(directory, commit)
        if not places_by_path:
            return ()
        project = os.path.relpath(repository.project_path(directory), directory)
    except (RepositoryError, OSError) as error:
        logger.warning(
            "cannot compare a worktree with its commit: %s", error, extra={"path": directory}
        )
        return ()
    return tuple(
        Finding(f"{path}|{place}", path)
        for path_from_top, places in places_by_path.items()
        for path in [os.path.relpath(path_from_top, project)]
        for place in places
    )


class SecondRuns:
    """Prepares second runs of gates. Any thread may call.

    Methods raise RepositoryError if git fails, and OSError if a file operation fails.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def of(
        self,
        check: Check,
        cwd: str,
        gate: Gate,
        touched: Mapping[str, bool],
        result: GateResult,
        permissions: Sequence[AlterationPermission],
    ) -> JudgeAlteration:
        """Return how the worker altered files that decide how gates judge, such as tests.

        The gate's second run uses the versions of these files in the base commit. If no second run
        is needed, ``swap`` of the result is empty. If the gate blocks the change, the whole result
        is empty.

        ``cwd``: the project in the worktree. ``touched``: the changed paths, relative to ``cwd``.
        ``result``: the result of the gate's first run.
        """
        if not (check.permissions and check.base) or result.blocks:
            return JudgeAlteration()
        project = os.path.relpath(cwd, check.directory)
        equal = {path for path in matching(touched, MIXED) if self._is_equal(check, path)}
        moves = dict(self._moves(check, project)) if False in touched.values() else {}
        removed = {path for path in touched if not os.path.lexists(os.path.join(cwd, path))}
        altered = alteration(gate, touched, moves, equal, removed, permissions, check.is_compared)
        versions = [self._repository.gate_files(each) for each in (check.base, check.commit)]
        settings = (
            path
            for path in altered.settings
            if not all(has_only_fixtures(path, files.read(path)) for files in versions)
        )
        altered = replace(altered, settings=tuple(settings))
        # The change of each task was judged before the merge, but possibly with settings that
        # another task had changed.
        is_needed = check.place is GatePlace.WORKER or bool(altered.settings)
        has_second_run = is_needed and _needs_second_run(check, result)
        return altered if has_second_run else replace(altered, swap={})

    def restore_base_versions(self, check: Check, cwd: str, altered: JudgeAlteration) -> None:
        """Prepare the worktree for the second run: restore the base's versions of judging files.

        ``cwd``: the project in the worktree. ``altered``: the result of the method ``of``. The
        caller must restore the worktree after the second run.
        """
        project = os.path.relpath(cwd, check.directory)
        swap = {
            _path_from_top(project, path): _path_from_top(project, source) if source else None
            for path, source in altered.swap.items()
        }
        self._repository.set_files(check.directory, check.commit, check.base, swap)

    def _is_equal(self, check: Check, path: str) -> bool:
        before, after = (
            self._repository.gate_files(commit).read(path) for commit in (check.base, check.commit)
        )
        return judges_equally(path, before, after)

    def _moves(self, check: Check, project: str) -> Iterator[tuple[str, JudgeMove]]:
        for path, (source, is_exact) in self._repository.renamed_files(
            check.base, check.commit
        ).items():
            yield (
                os.path.relpath(path, project),
                JudgeMove(os.path.relpath(source, project), is_exact),
            )


def _needs_second_run(check: Check, result: GateResult) -> bool:
    """True if the gate passed, or if it failed on a candidate but is not required."""
    failed_optional = result.outcome is GateOutcome.FAILED and not result.required
    return result.outcome is GateOutcome.PASSED or (check.is_compared and failed_optional)


def permissions_from(
    check: Check, cwd: str, gate: Gate, touched: Mapping[str, bool]
) -> tuple[AlterationPermission, ...]:
    """Return which tests and other judging files the check's tasks may alter.

    Paths in the result are relative to the project. ``cwd``: the project in the worktree.
    ``touched``: the changed paths, relative to ``cwd``.
    """
    project = os.path.relpath(cwd, check.directory)

    def with_relative_paths(permission: AlterationPermission) -> AlterationPermission:
        judged = (os.path.relpath(each, project) for each in permission.judged)
        return replace(permission, judged=frozenset(judged))

    permissions = tuple(map(with_relative_paths, check.permissions))
    # A task that changes both code and tests has stricter limits. These limits do not apply to a
    # merged state, because each task's change was already checked with these limits.
    return (
        restricted_permissions(gate, permissions, touched)
        if check.place is GatePlace.WORKER
        else permissions
    )


def _path_from_top(project: str, path: str) -> str:
    return os.path.normpath(os.path.join(project, path))
