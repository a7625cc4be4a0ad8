"""The report on the user's checkout at a job's end, while other programs lock and unlock it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.core.model.user_repository_changes import RefMove, state_name
from orchestrator.core.repository.repository import Repository
from orchestrator.engine.worktrees import user_checkout_changes
from orchestrator.engine.worktrees.user_checkout_changes import BEFORE, UsersCheckout
from orchestrator.workspace.job_directories import JobDirectories

LOCK = "git index.lock"


class CheckoutReads:
    """Returns the states of the checkout, one for each call. Repeats the last state."""

    def __init__(self, *looks: Mapping[str, str]) -> None:
        self._looks = list(looks)

    def back_up_git_files(self, directory: str) -> None:
        pass

    def ref_moves(self, root_id: str, since: float) -> Sequence[RefMove]:
        return ()

    def checkout_state(self) -> Mapping[str, str]:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, [{LOCK: "1"}], [LOCK]),
        ({}, [{LOCK: "1"}, {}], []),
        ({}, [{LOCK: "1"}, {LOCK: "2"}], []),
        ({LOCK: "1"}, [{LOCK: "1"}], []),
        ({LOCK: "1"}, [{}], []),
        ({}, [{LOCK: "1", "file a": "x"}, {"file a": "x"}], ["file a"]),
        ({"file yarn.lock": "1"}, [{"file yarn.lock": "2"}, {}], ["file yarn.lock"]),
    ],
)
def test_a_lock_is_reported_if_no_process_works_with_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Mapping[str, str],
    after: Sequence[Mapping[str, str]],
    expected: Sequence[str],
) -> None:
    monkeypatch.setattr(user_checkout_changes, "STALE_LOCK_SECONDS", 0.0)
    repository = cast(Repository, cast(Any, CheckoutReads(before, *after)))
    checkout = UsersCheckout(repository, JobDirectories(tmp_path))
    checkout.record_state("0badc0de")

    changes, state = checkout.changes("0badc0de")

    assert [state_name(each) for each in changes] == expected
    assert state in after


def test_changes_between_two_runs_are_those_of_the_user(tmp_path: Path) -> None:
    job = "0badc0de"
    start = {"setting a": "1", "file x": "1", "how files are merged": "m"}
    of_run = {**start, "setting a": "2", "refs/heads/w": "c1"}
    users = {**of_run, "setting own": "1", "refs/heads/w": "c2", "how files are merged": "n"}
    del users["file x"]
    again = {**users, "refs/tags/t": "c3"}
    looks = CheckoutReads(start, of_run, users, again)
    checkout = UsersCheckout(cast(Repository, cast(Any, looks)), JobDirectories(tmp_path))

    def named() -> list[str]:
        return [state_name(each) for each in checkout.changes(job)[0]]

    checkout.record_state(job)
    began = (tmp_path / f"job_{job}" / BEFORE).stat().st_mtime
    assert named() == ["refs/heads/w", "setting a"]
    checkout.record_state(job)
    checkout.record_state(job)
    assert (tmp_path / f"job_{job}" / BEFORE).stat().st_mtime == began
    assert named() == ["refs/tags/t", "setting a"]
