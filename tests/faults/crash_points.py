"""Failpoints at which the tests crash the code, and the test of each failpoint.

An everyday test (``unit/test_crash_points.py``) fails if a failpoint of the code is missing here.
The crash tests take their failpoints from this table, or check that the code reached them.
"""

from collections.abc import Mapping

#: Names of failpoints that contain a file's name.
RENAMES = ("{}: before the rename", "{}: after the rename")
#: Failpoints of a plain job. The test crashes at the n-th failpoint, for every n.
OF_ANY_JOB = (
    *RENAMES,
    "attempt lock: holder written",
    "attempt lock: made",
    "attempt: end received",
    "exit record: after the rename",
    "exit record: before the rename",
    "launch: prepared",
    "launch: sent",
    "migration: after the commit",
    "migration: before the commit",
    "recovery: attempt adopted",
    "recovery: done",
    "reports: written",
    "spawner: shim forked",
    "store: after the commit",
    "store: before the commit",
    "turn: commands run",
    "worker: started",
)
#: Failpoints of a job with many short tasks.
OF_PRELOADS = ("preload: prepared", "preload: sent")
#: Failpoints that are reached only after an earlier crash.
OF_RECOVERY = ("keeper: spawner ended",)
OF_WORKTREES = (
    "worktree: worker's start stored",
    "worktree: registered",
    "worktree: checked out",
    "worktree: objects written",
    "worktree: committed",
    "merge: done",
    "merge: stored",
    "merge: about to report",
)
OF_SIDE_WORK = (
    "worktree: loose files committed",
    "side work: files merged",
    "side work: branch moved",
    "side work: saved",
)
OF_HEADS = ("worktree: branch and HEAD differ",)
OF_GATES = ("gate: prepared", "gate: end received", "gate: ran")
OF_SECOND_RUNS = ("gate: base versions restored",)
OF_CHECKPOINTS = (
    "checkpoint: after the attempt",
    "rollback: branch moved",
    "rollback: files restored",
    "checkpoint: before the attempt",
)
OF_REMOVAL = (
    "removal: files moved aside",
    "store: job removed",
    "removal: rows deleted",
    "removal: files deleted",
)
#: Failpoints at which one job crashes, one after the other.
OF_A_RICH_JOB = (
    "store: leases before the commit",
    "merge: gates begin",
    "merge: gates done",
    "rejection: worker's start moved",
    "resolving: worker's start stored",
)
OF_FEEDBACK = ("feedback: checked", "feedback: stored")
OF_SPARES = ("worktree: spare worktree used",)
OF_APPLYING = ("apply: before the rename",)
OF_LANDING = ("landing: moved",)
OF_UNDOING = ("landing: about to move",)
OF_MESSAGES = ("message: stored",)
OF_DELIVERIES = ("outbox: before the record",)
OF_STORED_LANDINGS = (
    "landing: recorded",
    "landing: about to be stored",
    "landing: stored",
)

#: Failpoints by the test that crashes there: "<path below tests/>::<test>".
CRASHED_BY: Mapping[str, tuple[str, ...]] = {
    "faults/test_failpoints.py::test_a_crash_at_any_failpoint_changes_nothing": OF_ANY_JOB,
    (
        "faults/test_preloads.py::test_a_crash_while_launches_are_preloaded_changes_nothing"
    ): OF_PRELOADS,
    "faults/test_failpoints.py::test_another_crash_during_recovery_changes_nothing": OF_RECOVERY,
    (
        "integration/engine/worktrees/test_git.py::test_a_crash_costs_no_change_and_leaves_no_worktree"
    ): OF_WORKTREES,
    (
        "integration/git/test_agents_git.py::"
        "test_a_crash_in_the_middle_loses_nothing_and_doubles_nothing"
    ): OF_SIDE_WORK,
    (
        "unit/git/merge/test_side_work.py::test_a_crash_during_the_return_to_the_branch_loses_no_commit"
    ): OF_HEADS,
    (
        "integration/engine/gates/test_gate_crashes.py::"
        "test_a_crash_around_a_gate_loses_nothing_and_runs_none_beside_itself"
    ): OF_GATES,
    (
        "integration/engine/gates/test_altered_judges.py::"
        "test_a_crash_in_a_second_run_costs_no_change"
    ): OF_SECOND_RUNS,
    (
        "integration/engine/worktrees/test_checkpoints.py::"
        "test_a_crash_between_decision_and_rollback_changes_nothing"
    ): OF_CHECKPOINTS,
    ("integration/engine/test_job_removal.py::test_a_crash_leaves_no_job_half_removed"): OF_REMOVAL,
    (
        "integration/engine/merge/test_rich_crashes.py::"
        "test_crashes_in_a_row_cost_a_job_with_gates_locks_and_merging_nothing"
    ): OF_A_RICH_JOB,
    (
        "unit/git/worktrees/test_pool.py::test_a_crash_while_a_spare_worktree_is_reused_loses_no_file"
    ): OF_SPARES,
    (
        "unit/security/files/test_confined_writer.py::test_a_crash_before_the_rename_leaves_what_was_there"
    ): OF_APPLYING,
    (
        "integration/engine/service/control/test_worker_messages.py::test_a_message_survives_a_crash_and_comes_once"
    ): OF_MESSAGES,
    (
        "integration/outbox/delivery/test_outages.py::"
        "test_a_crash_before_the_record_repeats_the_message_with_its_id"
    ): OF_DELIVERIES,
    (
        "integration/engine/service/test_landings.py::test_a_landing_has_one_event_at_any_crash"
    ): OF_STORED_LANDINGS,
    (
        "integration/engine/service/reruns/test_feedback_crashes.py::"
        "test_a_crash_loses_no_comment_and_begins_no_second_attempt"
    ): OF_FEEDBACK,
    (
        "unit/git/landing/test_land_and_undo.py::test_a_landing_that_a_crash_interrupted_can_be_undone"
    ): OF_LANDING,
    (
        "unit/git/landing/test_land_and_undo.py::"
        "test_an_undo_that_was_killed_among_the_files_is_finished_or_reverted"
    ): OF_UNDOING,
}
