"""The fault table: repositories, gates, merging, and locks."""

from tests.faults.row import Row

_RICH = (
    "integration/engine/merge/test_rich_crashes.py::"
    "test_crashes_in_a_row_cost_a_job_with_gates_locks_and_merging_nothing"
)

ROWS = (
    Row(
        number=50,
        fault="crash around worktrees and rollbacks",
        injection="repeated crashes at each failpoint",
        promise="no change of a worker is lost; no worktree remains; your checkout does not change",
        tests=(
            "integration/engine/worktrees/test_git.py::test_a_crash_costs_no_change_and_leaves_no_worktree",
            "integration/engine/worktrees/test_git.py::test_clean_removes_a_worktree_that_a_crash_left",
            (
                "integration/engine/worktrees/test_checkpoints.py::"
                "test_a_crash_between_decision_and_rollback_changes_nothing"
            ),
            "unit/git/worktrees/test_pool.py::test_a_crash_while_a_spare_worktree_is_reused_loses_no_file",
        ),
    ),
    Row(
        number=51,
        fault="server ends while gates run",
        injection="failpoints around each gate; kill and orderly stop",
        promise="the gates run again, never twice at once; the attempt is not repeated",
        tests=(
            (
                "integration/engine/gates/test_gate_crashes.py::"
                "test_a_crash_around_a_gate_loses_nothing_and_runs_none_beside_itself"
            ),
            (
                "integration/engine/gates/test_gate_crashes.py::"
                "test_gates_of_a_server_that_ended_are_run_again_and_never_twice_at_once"
            ),
        ),
    ),
    Row(
        number=52,
        fault="crash while results are merged",
        injection="at each failpoint of a merge",
        promise="the merged result is the same",
        tests=(
            "integration/engine/merge/test_merge_runner.py::test_a_crash_at_any_failpoint_is_made_up_for",
            "integration/engine/merge/test_merge_runner.py::test_a_crash_while_it_takes_up_loses_nothing",
            (
                "integration/engine/merge/test_merge_runner.py::"
                "test_clean_finds_what_a_crash_left_while_gates_ran"
            ),
            _RICH,
        ),
    ),
    Row(
        number=53,
        fault="lock holder or server dies",
        injection="kills; cut connections to the store",
        promise="a lock has one holder at a time, and ends with its worker",
        tests=(
            (
                "integration/core/locks/test_locks.py::"
                "test_leases_survive_the_server_and_end_with_a_killed_worker"
            ),
            (
                "integration/store/database/test_jobs_on_postgresql.py::"
                "test_leases_hold_while_connections_are_cut_off"
            ),
            "contract/test_leases.py::test_a_lease_ends_with_its_attempt",
        ),
    ),
    Row(
        number=54,
        fault="crashes with PostgreSQL",
        injection="kills at failpoints and at random; a lost connection",
        promise="the same as with SQLite; a second server is rejected",
        tests=(
            (
                "faults/test_on_postgresql.py::"
                "test_a_crash_at_a_failpoint_changes_nothing_on_postgresql"
            ),
            "faults/test_on_postgresql.py::test_no_kill_loses_or_doubles_work_on_postgresql",
            (
                "faults/test_on_postgresql.py::"
                "test_a_crash_and_an_orderly_end_change_nothing_on_postgresql"
            ),
            (
                "integration/store/database/test_postgresql.py::"
                "test_a_change_whose_commit_is_still_under_way_is_not_stored_twice"
            ),
            "integration/store/database/test_postgresql.py::test_one_server_at_a_time_has_the_database",
        ),
    ),
    Row(
        number=67,
        fault="`land` or `undo` is killed",
        injection="git is killed after it has written some files",
        promise=(
            "the next `land` finishes the landing, or the next `undo` reverts it; later changes "
            "are never overwritten"
        ),
        tests=(
            (
                "unit/git/landing/test_land_and_undo.py::"
                "test_a_landing_that_was_killed_among_the_files_is_finished_or_reverted"
            ),
            (
                "unit/git/landing/test_land_and_undo.py::"
                "test_a_killed_landing_is_not_finished_over_what_was_changed_since"
            ),
            (
                "unit/git/landing/test_land_and_undo.py::"
                "test_a_killed_landing_is_not_finished_while_another_git_is_at_work"
            ),
            (
                "unit/git/landing/test_land_and_undo.py::"
                "test_an_undo_that_was_killed_among_the_files_is_finished_or_reverted"
            ),
            (
                "unit/git/landing/test_squash.py::"
                "test_a_squash_that_was_killed_among_the_files_is_finished"
            ),
        ),
    ),
    Row(
        number=68,
        fault="Git LFS is configured, not installed",
        injection="a filter without its program",
        promise="workers start with pointer files; a note names the missing program",
        tests=(
            "unit/git/environments/test_lfs.py::test_a_required_filter_without_its_program_stops_no_worker",
        ),
    ),
)
