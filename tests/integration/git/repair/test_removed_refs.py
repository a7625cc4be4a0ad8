"""A worker removes refs of the product: its work is saved, or the loss is reported."""

import pytest

from tests.integration.git.conftest import Host
from tests.support.project import edit

ALL = 'git for-each-ref --format="delete %(refname)" {} | git update-ref --stdin'
#: Command that waits until the first worker's work is committed and its worktree is removed.
AFTER_THE_FIRST = """
first=$(git symbolic-ref HEAD | sed s/worker_2/worker_1/)
until git for-each-ref refs/orchestrator | grep -q checkpoint/worker_1/1-after; do sleep 0.02; done
while git worktree list | grep -q worker_1; do sleep 0.02; done
"""


@pytest.mark.parametrize(
    "places", ["refs/orchestrator", "refs/orchestrator refs/heads/orchestrator"]
)
def test_a_worker_that_removes_all_refs_of_its_own_loses_nothing(host: Host, places: str) -> None:
    ended = host.run(edit(f"echo x > x.txt; {ALL.format(places)}"))

    (row,) = ended["results"]["tasks"]
    assert (row["status"], row["files_created"]) == ("success", ["x.txt"]), row
    record = host.record(ended["job_id"])
    assert record["errors"] == []
    assert host.project.show(record["commit"], "x.txt") == "x"


def test_what_counts_as_changed_does_not_go_by_a_ref_that_a_worker_moves(host: Host) -> None:
    move = "git for-each-ref --format='update %(refname) HEAD' refs/orchestrator/*/start"
    ended = host.run(
        edit(f"echo x > x.txt; git add x.txt; git commit -qm x; {move} | git update-ref --stdin")
    )
    assert ended["results"]["tasks"][0]["files_created"] == ["x.txt"]


def test_a_branch_that_another_worker_removes_comes_back(host: Host) -> None:
    ended = host.run(
        edit("echo 1 > 1.txt"), edit(f"{AFTER_THE_FIRST} git update-ref -d $first; echo 2 > 2.txt")
    )

    record = host.record(ended["job_id"])
    assert record["merged"] == ["worker_1", "worker_2"]
    assert host.project.show(record["commit"], "1.txt") == "1"


def test_work_that_another_worker_removes_with_all_checkpoints_is_reported(host: Host) -> None:
    places = "refs/orchestrator refs/heads/orchestrator"
    ended = host.run(
        edit("echo 1 > 1.txt"), edit(f"{AFTER_THE_FIRST} {ALL.format(places)}; echo 2 > 2.txt")
    )

    record = host.record(ended["job_id"])
    assert (record["merged"], list(record["left_out"])) == (["worker_2"], ["worker_1"])
    row = (
        "| **Not merged** | worker_1 (the branch and the checkpoints of the worker were removed) |"
    )
    assert row in host.final(ended["job_id"])


def test_a_lock_on_packed_refs_that_a_worker_leaves_refuses_no_result(host: Host) -> None:
    ended = host.run(
        edit('echo x > x.txt; touch "$(git rev-parse --git-common-dir)/packed-refs.lock"')
    )

    assert ended["status"] == "completed"
    assert ended["reason"].endswith("git packed-refs.lock added")
    assert host.project.show(host.record(ended["job_id"])["commit"], "x.txt") == "x"
