"""The fault table: exhausted resources, damaged files, and jobs that exceed their limits."""

from tests.faults.row import Row

ROWS = (
    Row(
        number=18,
        fault="full disk: the state",
        injection="a small file system is filled while jobs run",
        promise=(
            "no worker starts; calls are answered; ends of workers are stored; work resumes "
            "automatically"
        ),
        tests=(
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_below_the_mark_nothing_starts_everything_is_served_and_it_resumes_by_itself"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_what_runs_on_a_full_disk_ends_with_its_end_stored"
            ),
            "integration/store/database/test_sqlite.py::test_a_full_disk_is_an_error_and_leaves_the_stored_data",
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_a_checkout_that_finds_no_space_is_a_full_disk"
            ),
            (
                "integration/launchers/local/test_launcher_crashes.py::"
                "test_an_end_that_cannot_be_settled_is_asked_for_again"
            ),
        ),
    ),
    Row(
        number=19,
        fault="full disk: a worker's log",
        injection="a log on a full file system",
        promise="a worker whose log is lost fails, even with exit code 0",
        tests=(
            (
                "integration/launchers/local/test_launcher_resources.py::"
                "test_a_full_disk_loses_the_log_but_not_the_worker"
            ),
            "unit/core/outcome/test_attempt_outcome.py::test_each_row_of_the_table_decides_its_example",
        ),
    ),
    Row(
        number=20,
        fault="start on a full disk",
        injection="a full file system, with and without the database",
        promise=(
            "the message names the full disk; jobs can be read; work resumes when there is space"
        ),
        tests=(
            (
                "faults/test_full_and_read_only.py::"
                "test_a_start_on_a_full_disk_reports_it_and_existing_jobs_can_be_read"
            ),
            (
                "faults/test_full_and_read_only.py::"
                "test_a_start_on_a_full_disk_with_its_database_elsewhere_serves"
            ),
            (
                "integration/launchers/local/test_launcher_resources.py::"
                "test_on_a_full_disk_nothing_starts_and_the_error_names_the_disk"
            ),
        ),
    ),
    Row(
        number=21,
        fault="a workspace that cannot be written",
        injection="read-only mounts",
        promise=(
            "at a start: the server does not start, and names the path; while a server runs: a "
            "worker whose directory cannot be created fails with the cause, and other workers "
            "continue"
        ),
        tests=(
            (
                "faults/test_full_and_read_only.py::"
                "test_a_start_in_a_read_only_workspace_is_refused_and_status_can_be_read"
            ),
            (
                "faults/test_full_and_read_only.py::"
                "test_a_worker_whose_directory_cannot_be_made_fails_with_the_cause"
            ),
        ),
    ),
    Row(
        number=22,
        fault="no free inode, descriptor, thread, or process",
        injection="200 inodes; `prlimit` on the server",
        promise="503 with Retry-After; no worker fails; no descriptor leaks; the server recovers",
        tests=(
            "faults/test_exhaustion.py::test_without_descriptors_it_answers_503_and_recovers",
            "faults/test_exhaustion.py::test_waiting_for_descriptors_uses_no_processor",
            "faults/test_exhaustion.py::test_no_worker_fails_because_descriptors_are_short",
            (
                "faults/test_exhaustion.py::"
                "test_without_a_thread_a_stream_is_a_503_and_later_it_is_there"
            ),
            "faults/test_process_limit.py::test_workers_wait_for_processes_and_none_fails",
            "faults/test_process_limit.py::test_a_server_without_a_thread_ends_in_good_order",
            (
                "faults/test_full_and_read_only.py::"
                "test_without_inodes_a_job_waits_with_a_reason_and_continues"
            ),
        ),
    ),
    Row(
        number=23,
        fault="worker uses too much memory",
        injection="allocation beyond `workers.limits.memory`",
        promise="all its processes are killed; the reason names the limit; no retry",
        tests=(
            (
                "integration/launchers/process/test_limits.py::"
                "test_too_much_memory_ends_a_worker_with_all_it_started"
            ),
            (
                "integration/launchers/containment/test_containment_of_jobs.py::"
                "test_a_limit_that_was_hit_is_the_reason_and_is_not_tried_again"
            ),
            (
                "integration/launchers/process/test_limits.py::"
                "test_the_counters_of_a_group_name_the_exceeded_limit"
            ),
            "integration/launchers/process/test_memory.py::test_shared_memory_counts",
            "integration/launchers/process/test_memory.py::test_what_processes_share_counts_once",
            (
                "integration/launchers/process/test_memory.py::"
                "test_a_file_counts_after_its_writer_closed_and_renamed_it"
            ),
            (
                "integration/launchers/process/test_limits.py::"
                "test_a_strict_limit_that_is_not_held_exactly_is_refused_with_what_to_do"
            ),
        ),
    ),
    Row(
        number=24,
        fault="fork bomb in a worker",
        injection="a bounded loop of forks",
        promise="the worker is killed at `workers.limits.processes`; other workers continue",
        tests=(
            "integration/launchers/process/test_limits.py::test_too_many_processes_end_a_worker",
        ),
    ),
    Row(
        number=25,
        fault="a log without end",
        injection="output beyond `workers.log_limit_bytes`",
        promise="the log is bounded, and has the output's beginning and end",
        tests=(
            (
                "integration/launchers/local/test_launcher_runs.py::"
                "test_beyond_its_limit_a_log_keeps_its_beginning_and_its_end"
            ),
            "integration/launchers/process/test_limits.py::test_too_large_a_file_ends_its_writer",
        ),
    ),
    Row(
        number=26,
        fault="kill while the database is written",
        injection="a writer is killed repeatedly",
        promise="no acknowledged change is lost; the database is intact",
        tests=(
            "integration/store/database/test_sqlite.py::test_kill_9_loses_nothing_that_was_acknowledged",
        ),
    ),
    Row(
        number=27,
        fault="damaged or half-written files",
        injection="bytes are removed and overwritten",
        promise="the message names the path; no damaged file is read as empty",
        tests=(
            "faults/test_damaged_files.py::test_a_damaged_database_is_refused_and_left_as_it_is",
            (
                "faults/test_damaged_files.py::"
                "test_jobs_that_were_lost_with_the_end_of_the_database_are_named"
            ),
            "faults/test_damaged_files.py::test_a_damaged_server_record_is_reported_and_replaced",
            (
                "faults/test_damaged_files.py::"
                "test_a_damaged_status_file_is_reported_and_the_others_are_listed"
            ),
            "faults/test_damaged_files.py::test_a_half_written_lock_file_holds_no_server_up",
            (
                "integration/launchers/exit_record/test_launcher_records.py::"
                "test_a_half_written_record_is_a_dead_attempt"
            ),
            (
                "integration/launchers/exit_record/test_launcher_records.py::"
                "test_a_record_that_is_garbage_is_an_error_with_its_path"
            ),
            (
                "integration/launchers/exit_record/test_launcher_records.py::"
                "test_a_record_that_a_worker_wrote_is_no_exit"
            ),
            (
                "integration/launchers/exit_record/test_launcher_records.py::"
                "test_a_record_beside_a_claim_that_is_held_is_not_believed"
            ),
        ),
    ),
    Row(
        number=28,
        fault="a second server on the same workspace",
        injection="two servers, also without lock files",
        promise="the second server is rejected",
        tests=(
            (
                "integration/store/database/test_sqlite.py::"
                "test_one_server_at_a_time_has_the_file_whatever_its_path"
            ),
            (
                "integration/engine/supervisor/test_crashes.py::"
                "test_a_second_server_is_rejected_and_names_the_server_of_the_workspace"
            ),
            (
                "integration/store/database/test_sqlite.py::"
                "test_one_server_at_a_time_has_the_file_also_without_its_lock_file"
            ),
        ),
    ),
    Row(
        number=29,
        fault="child jobs deeper than the number of slots",
        injection="one slot, depth 5",
        promise="no deadlock",
        tests=(
            "integration/engine/submission/test_recursion.py::test_one_slot_is_enough_for_five_levels",
            (
                "unit/core/scheduler/test_stories.py::"
                "test_one_worker_at_a_time_is_enough_for_a_wide_and_deep_tree"
            ),
            "unit/core/scheduler/test_properties.py::TestRandomStories",
        ),
    ),
    Row(
        number=30,
        fault="a recursion bomb",
        injection="every worker starts child jobs",
        promise="submissions beyond the limits get 422; the root job ends",
        tests=(
            "integration/core/limits/test_limits.py::test_a_recursion_bomb_stops_at_the_exact_limits",
            (
                "integration/core/limits/test_limits.py::"
                "test_a_deeper_bomb_stops_at_the_descendants_of_its_root"
            ),
            "integration/engine/submission/test_recursion.py::test_depths_that_are_only_claimed_end_too",
        ),
    ),
    Row(
        number=31,
        fault="a cycle of child jobs",
        injection="a descendant repeats an ancestor's request",
        promise="the child job is rejected",
        tests=(
            "integration/core/limits/test_limits.py::test_what_an_ancestor_was_asked_is_refused",
            "integration/core/limits/test_limits.py::test_a_worker_cannot_hand_on_its_own_task_as_it_is",
        ),
    ),
    Row(
        number=32,
        fault="a cancel while a job tree runs",
        injection="random sequences; child jobs of child jobs",
        promise="no descendant runs after its grace period; no new child job is accepted",
        tests=(
            (
                "integration/engine/service/control/test_cancel_and_retry.py::"
                "test_cancelling_a_tree_stops_every_process_of_it"
            ),
            (
                "unit/core/scheduler/test_stopping.py::"
                "test_a_child_job_that_slips_in_after_the_cancel_is_stopped_with_its_parent"
            ),
            "unit/core/scheduler/test_properties.py::TestRandomStories",
        ),
    ),
    Row(
        number=33,
        fault="a worker is killed while it waits for its child jobs",
        injection="kill of its process",
        promise="its child jobs are cancelled; no process remains",
        tests=(
            (
                "faults/test_odd_workers.py::"
                "test_the_child_jobs_of_a_parent_that_is_killed_are_cancelled"
            ),
            (
                "unit/core/scheduler/transitions/ends/test_attempt_followup.py::"
                "test_a_failed_parent_stops_its_child_jobs_and_ends_after_them"
            ),
        ),
    ),
    Row(
        number=34,
        fault="a large job before a small job",
        injection="200 tasks, then one",
        promise="the small job starts within a few slots",
        tests=(
            "integration/core/scheduler/test_load.py::test_a_small_job_does_not_wait_for_a_big_one",
            "unit/core/scheduler/test_stories.py::test_two_root_jobs_share_the_slots_fairly",
        ),
    ),
    Row(
        number=35,
        fault="a repeated submission",
        injection="one `Idempotency-Key`, ten times at once",
        promise="one job is created",
        tests=("integration/core/limits/test_limits.py::test_one_idempotency_key_makes_one_job",),
    ),
    Row(
        number=56,
        fault="full disk: the repository",
        injection="a small file system is filled",
        promise=(
            "no worker starts; started attempts wait; `/health` and `doctor` report it; work "
            "resumes automatically"
        ),
        tests=(
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_below_the_mark_on_the_repositorys_disk_nothing_starts"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_a_start_that_finds_no_space_in_the_repository_waits_in_its_one_attempt"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_a_start_that_waits_for_space_is_cancelled_at_once"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_a_git_that_finds_no_space_leaves_nothing_temporary"
            ),
            "unit/git/command/test_leftover_files.py::test_only_new_files_that_no_process_has_open_are_removed",
        ),
    ),
    Row(
        number=57,
        fault="a worker's files exceed the free space",
        injection="24 MiB of files, 16 MiB free",
        promise=(
            "the commit waits, without a new attempt; a cancel ends the job; `discard` and `clean` "
            "free the space"
        ),
        tests=(
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_a_commit_that_finds_no_space_is_taken_up_again"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_what_waits_for_a_commit_is_cancelled_at_once_and_can_be_freed"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_a_commit_that_a_full_disk_cut_off_is_whole_when_it_is_repeated"
            ),
            (
                "integration/engine/runtime/test_full_disk.py::"
                "test_files_that_are_held_back_need_no_space_to_commit_the_others"
            ),
            (
                "unit/git/commits/test_object_quarantine.py::"
                "test_a_killed_commit_leaves_nothing_once_it_was_repeated"
            ),
        ),
    ),
    Row(
        number=58,
        fault="the project is moved or renamed",
        injection="its directory is renamed",
        promise=(
            "unfinished jobs resume at the new location; a running server rejects new jobs, and "
            "stores nothing at the old path"
        ),
        tests=(
            "integration/workspace/test_moved.py::test_unfinished_jobs_continue_at_the_new_place",
            (
                "integration/workspace/test_moved.py::"
                "test_a_server_whose_project_was_moved_rejects_jobs"
            ),
            "unit/workspace/test_move_detection.py::test_a_moved_or_replaced_project_is_noticed",
            "unit/launchers/shim/test_worker_log.py::test_a_log_whose_workspace_was_moved_is_whole",
        ),
    ),
    Row(
        number=64,
        fault="a locked or read-only database",
        injection="locked tables of PostgreSQL; SQLite's file locked by another program",
        promise=(
            "a read waits at most 3 s; a change that cannot be stored is answered with 503 after "
            "20 s; `/health` names the cause; work resumes automatically"
        ),
        tests=(
            (
                "integration/store/database/test_jobs_on_sqlite.py::"
                "test_a_locked_file_is_named_by_health_and_holds_up_no_read"
            ),
            (
                "integration/store/database/test_postgresql.py::"
                "test_a_table_that_is_locked_holds_up_nothing_for_long"
            ),
            (
                "integration/store/database/test_jobs_on_postgresql.py::"
                "test_a_locked_or_read_only_database_is_named_by_health"
            ),
        ),
    ),
    Row(
        number=65,
        fault="body or command too long",
        injection="9 MB; commands over 128 KiB",
        promise="413 or 422 with the limit; a long bash command is passed as a file",
        tests=(
            (
                "integration/api/http_server/test_hostile_requests.py::"
                "test_a_body_beyond_the_limit_is_refused_however_it_comes"
            ),
            (
                "integration/engine/test_tasks.py::"
                "test_a_command_that_is_too_long_for_an_argument_runs"
            ),
            (
                "integration/engine/test_tasks.py::"
                "test_a_list_with_an_argument_that_no_program_takes_is_refused"
            ),
        ),
    ),
    Row(
        number=66,
        fault="a sandbox hides the directory that contains orchestrator's folder",
        injection="folder and project below `/tmp`",
        promise="workers can read the folder and the project",
        tests=(
            (
                "integration/launchers/containment/test_containment_of_jobs.py::"
                "test_what_lies_below_tmp_is_as_readable_in_the_sandbox_as_elsewhere"
            ),
        ),
    ),
)
