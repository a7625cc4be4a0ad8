"""The README's promises, each with tests that fail if the promise is broken."""

_CRASHES = "integration/engine/supervisor/test_crashes.py"
_CONTAINMENT = "integration/launchers/containment/test_containment.py"
_RECURSION = "integration/engine/submission/test_recursion.py"
_LIMITS = "integration/core/limits/test_limits.py"
_WORK = "integration/engine/attempts/test_words_and_work.py"
_CHILDREN = "unit/core/scheduler/transitions/ends/test_attempt_followup.py"

#: The tests, by the first words of a promise: the bold text of the README.
PROMISES: dict[str, tuple[str, ...]] = {
    "An accepted job is durable.": (
        "faults/test_recovery.py::test_an_accepted_job_starts_after_a_restart",
        "integration/store/database/test_sqlite.py"
        "::test_kill_9_loses_nothing_that_was_acknowledged",
    ),
    "A worker never runs twice at the same time": (
        "faults/test_failpoints.py::test_a_crash_at_any_failpoint_changes_nothing",
        "contract/test_launcher.py::test_what_never_started_is_not_adopted_and_never_starts",
        f"{_CRASHES}::test_a_second_server_is_rejected_and_names_the_server_of_the_workspace",
    ),
    "Nothing keeps running": (
        f"{_CONTAINMENT}::test_nothing_escapes_a_stop",
        f"{_CONTAINMENT}::test_nothing_escapes_a_normal_end_and_all_are_named",
        f"{_CONTAINMENT}::test_processes_of_others_are_never_touched",
        "contract/test_launcher.py::test_a_timeout_ends_the_attempt",
    ),
    "A crash of the server loses no finished work.": (
        f"{_CRASHES}::test_a_killed_server_costs_no_work",
        f"{_CRASHES}::test_what_runs_when_the_server_is_killed_is_adopted",
    ),
    "Recursion never deadlocks": (
        f"{_RECURSION}::test_one_slot_is_enough_for_five_levels",
        "unit/core/scheduler/test_properties.py::TestRandomStories",
    ),
    "Limits hold for every worker key.": (
        f"{_LIMITS}::test_a_recursion_bomb_stops_at_the_exact_limits",
        f"{_LIMITS}::test_a_job_ends_when_its_wall_time_is_over",
        f"{_RECURSION}::test_depths_that_are_only_claimed_end_too",
        "integration/agents/driver_process/test_caps.py::test_a_retry_runs_with_a_larger_cap",
    ),
    "Exit code 0 alone is never success.": (
        "unit/core/outcome/test_attempt_outcome.py::test_each_row_of_the_table_decides_its_example",
        f"{_WORK}::test_a_builder_that_only_claims_that_all_tests_pass_has_failed",
        f"{_WORK}::test_a_job_is_partial_if_git_ignores_all_files_of_a_promise",
        "integration/engine/gates/test_gate_outcomes.py"
        "::test_a_required_gate_that_did_not_run_has_not_judged_though_another_passed",
    ),
    "A worker never ends before its child jobs.": (
        f"{_RECURSION}::test_a_parent_is_not_done_before_the_child_job_it_left_behind",
        f"{_RECURSION}::test_a_parent_whose_child_job_failed_has_failed",
        f"{_CHILDREN}::test_a_later_child_job_with_the_same_request_replaces_a_failed_one",
    ),
    "orchestrator does not change your checkout until you land.": (
        "integration/engine/worktrees/test_git.py"
        "::test_everything_of_the_users_stays_byte_for_byte",
    ),
    "A full disk pauses work and corrupts nothing.": (
        "integration/engine/runtime/test_full_disk.py"
        "::test_below_the_mark_nothing_starts_everything_is_served_and_it_resumes_by_itself",
        "integration/store/database/test_sqlite.py"
        "::test_a_full_disk_is_an_error_and_leaves_the_stored_data",
        "integration/api/tasks_api/test_tasks_api.py"
        "::test_wrong_requests_name_the_field_and_store_nothing",
    ),
}
