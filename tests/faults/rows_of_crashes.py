"""The fault table: crashes and processes."""

from tests.faults.row import Row

ROWS = (
    Row(
        number=1,
        fault="server killed at any instant",
        injection="random kills of processes",
        promise="every accepted job ends as if no crash had happened; no attempt runs twice",
        tests=(
            "faults/test_kills.py::test_no_kill_loses_or_doubles_work",
            "integration/engine/supervisor/test_crashes.py::test_a_killed_server_costs_no_work",
            (
                "faults/test_lifecycle.py::"
                "test_a_server_that_comes_back_while_the_lease_ends_a_worker_runs_it_again"
            ),
            "faults/test_recovery.py::test_the_log_of_a_job_has_each_of_its_events_after_crashes",
            "faults/test_failpoints.py::test_a_crash_at_any_failpoint_changes_nothing",
        ),
    ),
    Row(
        number=2,
        fault="server killed during recovery",
        injection="a second crash at each later failpoint",
        promise="the job ends as if no crash had happened",
        tests=("faults/test_failpoints.py::test_another_crash_during_recovery_changes_nothing",),
    ),
    Row(
        number=3,
        fault="server stopped twice in a row",
        injection="two stops, each a crash or an orderly stop",
        promise="the job ends as if nothing had stopped the server",
        tests=(
            "faults/test_ends_in_a_row.py::test_two_ends_in_a_row_change_nothing",
            (
                "faults/test_ends_in_a_row.py::"
                "test_a_shim_that_gets_a_signal_from_outside_is_no_cancel"
            ),
        ),
    ),
    Row(
        number=4,
        fault="shim killed",
        injection="alone, or with the spawner, the keeper, or the server",
        promise=(
            "the attempt never counts as a success; no process of the worker survives. If spawner "
            "and keeper are also killed, processes may survive; `status` and `doctor` name the "
            "processes that they find"
        ),
        tests=(
            (
                "integration/launchers/local/test_launcher_crashes.py::"
                "test_a_killed_shim_is_a_lost_attempt_with_a_tombstone"
            ),
            (
                "faults/test_odd_workers.py::"
                "test_a_worker_whose_shim_is_killed_twice_in_a_row_is_retried"
            ),
            "integration/launchers/containment/test_containment_kills.py::test_nothing_escapes_a_killed_shim",
            (
                "integration/launchers/containment/test_containment_kills.py::"
                "test_nothing_escapes_a_shim_that_is_killed_with_what_stands_above_it"
            ),
            (
                "integration/launchers/containment/test_containment_kills.py::"
                "test_nothing_escapes_a_shim_that_is_killed_later_than_what_stood_above_it"
            ),
            (
                "integration/launchers/containment/test_containment_kills.py::"
                "test_nothing_escapes_a_shim_whose_server_was_killed"
            ),
            (
                "faults/test_late_results.py::"
                "test_a_late_result_is_accepted_before_a_newer_attempt_has_started"
            ),
            (
                "faults/test_late_results.py::"
                "test_a_result_later_than_the_next_start_is_saved_as_salvage"
            ),
            (
                "integration/launchers/containment/test_containment_kills.py::"
                "test_an_end_names_leftover_processes_when_all_above_its_worker_were_killed"
            ),
            (
                "integration/cli/doctor/test_leftover_process_search.py::"
                "test_a_process_of_an_attempt_that_has_ended_is_named"
            ),
            (
                "integration/cli/doctor/test_leftover_process_search.py::"
                "test_an_orphan_without_a_marker_is_named_by_the_worker_whose_directory_it_is_in"
            ),
        ),
    ),
    Row(
        number=5,
        fault="server killed after it accepted a job, before the worker starts",
        injection="failpoints at the commit and at the launch",
        promise="the worker starts once, after the restart",
        tests=("faults/test_recovery.py::test_an_accepted_job_starts_after_a_restart",),
    ),
    Row(
        number=6,
        fault="crash after a worker's end",
        injection="failpoints around the exit record",
        promise="the exit code is not lost",
        tests=(
            "faults/test_failpoints.py::test_a_crash_at_any_failpoint_changes_nothing",
            (
                "integration/launchers/exit_record/test_launcher_records.py::"
                "test_a_record_that_was_written_but_not_renamed_counts"
            ),
        ),
    ),
    Row(
        number=7,
        fault="crash during a submission",
        injection="failpoints around the commit; rejected changes",
        promise="the whole submission is stored, or nothing",
        tests=(
            "faults/test_recovery.py::test_an_accepted_job_starts_after_a_restart",
            "contract/test_store.py::test_an_event_that_is_there_already_undoes_the_whole_change",
            "contract/test_store.py::test_changing_what_does_not_exist_undoes_the_whole_change",
        ),
    ),
    Row(
        number=8,
        fault="processes that detach themselves from a worker",
        injection="six methods, in each mode of containment",
        promise="no process survives; the report names all of them",
        tests=(
            "integration/launchers/containment/test_containment.py::test_nothing_escapes_a_stop",
            (
                "integration/launchers/containment/test_containment.py::"
                "test_nothing_escapes_a_normal_end_and_all_are_named"
            ),
            (
                "integration/launchers/containment/test_ordinary_user.py::"
                "test_containment_holds_for_an_ordinary_user_too"
            ),
        ),
    ),
    Row(
        number=9,
        fault="a process that forks itself continuously",
        injection="a fork every 100 microseconds",
        promise="all its processes are killed within seconds",
        tests=(
            (
                "integration/launchers/containment/test_containment_kills.py::"
                "test_a_process_that_forks_itself_anew_is_caught"
            ),
            (
                "integration/launchers/containment/test_containment_kills.py::"
                "test_a_killed_shim_leaves_no_process_that_forks_itself_anew"
            ),
        ),
    ),
    Row(
        number=10,
        fault="worker ignores SIGTERM",
        injection="`trap '' TERM`",
        promise="the worker is killed after its grace period",
        tests=(
            (
                "integration/launchers/local/test_launcher_stops.py::"
                "test_what_ignores_a_stop_is_killed_after_its_grace"
            ),
        ),
    ),
    Row(
        number=11,
        fault="background child keeps the output open",
        injection="`sleep` in the background",
        promise="the worker ends at once; the child is stopped and named",
        tests=(
            (
                "integration/launchers/local/test_launcher_stops.py::"
                "test_a_background_child_does_not_keep_a_worker_from_ending"
            ),
            "integration/launchers/local/test_launcher_stops.py::test_nothing_escapes_a_normal_end",
        ),
    ),
    Row(
        number=12,
        fault="much output without a line end",
        injection="300 kB without a newline",
        promise="the worker does not block; the log has all output",
        tests=(
            (
                "integration/launchers/local/test_launcher_runs.py::"
                "test_much_output_without_a_newline_is_kept"
            ),
        ),
    ),
    Row(
        number=13,
        fault="a line of 100 MB, invalid text, control sequences",
        injection="output of `head`, `tr`, and `printf`",
        promise=(
            "logs, answers, and reports are valid text; `raw/<log>` has the original output; "
            "the server's memory stays bounded"
        ),
        tests=(
            "faults/test_odd_workers.py::test_a_binary_line_of_100_mb_is_stored_and_shown",
            (
                "integration/launchers/local/test_launcher_runs.py::"
                "test_a_log_has_no_control_sequences_but_colors_and_a_raw_file_has_them"
            ),
            "unit/security/test_control_sequences.py::test_no_chunks_let_a_sequence_through",
        ),
    ),
    Row(
        number=14,
        fault="a program that asks on standard input",
        injection="`read`, and Python's `input()`",
        promise="the program ends at once; its output is in the result",
        tests=(
            (
                "faults/test_odd_workers.py::"
                "test_a_program_that_asks_for_input_ends_at_once_and_its_question_is_the_reason"
            ),
            (
                "integration/launchers/local/test_launcher_runs.py::"
                "test_without_a_file_standard_input_is_empty"
            ),
        ),
    ),
    Row(
        number=15,
        fault="a reused process id",
        injection="`ns_last_pid` in a PID namespace",
        promise="no other process is signalled",
        tests=(
            (
                "faults/test_clock_and_pids.py::"
                "test_a_process_with_the_pid_of_a_dead_one_is_never_signalled"
            ),
            "integration/launchers/containment/test_containment.py::test_processes_of_others_are_never_touched",
        ),
    ),
    Row(
        number=16,
        fault="the clock jumps by an hour",
        injection="the wall clock is shifted, ahead and back",
        promise="no timeout expires early; no retry is delayed",
        tests=(
            (
                "faults/test_clock_and_pids.py::"
                "test_a_clock_that_jumps_ends_nothing_and_holds_nothing_up"
            ),
            (
                "faults/test_clock_and_pids.py::"
                "test_a_clock_that_jumps_while_there_is_no_server_ends_nothing_either"
            ),
        ),
    ),
    Row(
        number=17,
        fault="zombies that no process reaps",
        injection="a parent that does not wait",
        promise="a zombie counts as dead",
        tests=("faults/test_clock_and_pids.py::test_a_zombie_that_no_process_reaps_is_dead",),
    ),
    Row(
        number=61,
        fault="another port after a kill",
        injection="the next server has another port",
        promise="the server also serves the former port until workers with that port have ended",
        tests=(
            (
                "integration/cli/server/test_ports.py::"
                "test_a_killed_servers_workers_reach_the_next_one_that_has_another_port"
            ),
            (
                "integration/cli/server/test_ports.py::"
                "test_a_former_port_is_served_by_every_server_until_its_workers_have_ended"
            ),
            (
                "integration/cli/server/test_ports.py::"
                "test_a_former_port_that_is_taken_costs_a_warning"
            ),
            (
                "integration/cli/server/test_ports.py::"
                "test_a_configured_port_that_is_taken_leaves_a_killed_server_its_own"
            ),
        ),
    ),
    Row(
        number=62,
        fault="terminal of `run` closes, or a pipe's reader exits",
        injection="a closed terminal; a pipe to `head`",
        promise=(
            "a closed terminal cancels the job, and stops a server that `run` started; without a "
            "reader, `run` exits with the job's code"
        ),
        tests=(
            "unit/cli/jobs/test_run.py::test_a_terminal_that_ends_without_a_signal_is_a_hangup",
            "unit/cli/jobs/test_run.py::test_a_terminal_that_is_closed_is_written_to_no_more",
            "unit/cli/jobs/test_run.py::test_a_run_exits_with_the_code_of_its_job_after_its_reader_has_exited",
        ),
    ),
    Row(
        number=63,
        fault="AI tool renews its login, and is killed",
        injection="a new login file; the driver is killed",
        promise="the renewed login replaces your login file, unless your file is newer",
        tests=(
            (
                "integration/agents/driver_process/test_driver.py::"
                "test_a_renewed_login_is_the_users_while_the_agent_still_works"
            ),
            "unit/agents/driver_process/test_logins.py::test_each_renewed_login_is_copied_back",
            (
                "unit/agents/driver_process/test_logins.py::"
                "test_the_next_attempt_copies_a_login_that_a_killed_attempt_renewed"
            ),
            "unit/agents/driver_process/test_logins.py::test_a_login_that_the_user_changed_during_the_attempt_stays",
        ),
    ),
)
