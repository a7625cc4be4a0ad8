"""The fault table: crashes and processes."""

from tests.faults.row import Row

ROWS = (
    Row(
        number=1,
        fault="kill -9 of the server, at any instant",
        injection=(
            "processes are killed at random, by seed; workers count their own starts and ends"
        ),
        promise="every accepted job ends as without the crash, and no attempt runs twice",
        tests=(
            "faults/test_kills.py::test_no_kill_loses_or_doubles_work",
            "integration/engine/server/test_crashes.py::test_a_killed_server_costs_no_work",
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
        fault="kill -9 of the server during its recovery",
        injection="a second crash at each failpoint after the first",
        promise="the job ends as without a crash",
        tests=("faults/test_failpoints.py::test_another_crash_during_recovery_changes_nothing",),
    ),
    Row(
        number=3,
        fault="two stops of the server in a row",
        injection="crash and orderly stop, in all pairs",
        promise=(
            "the job ends as without the stops; work that an orderly stop interrupted runs again"
        ),
        tests=(
            "faults/test_ends_in_a_row.py::test_two_ends_in_a_row_change_nothing",
            (
                "faults/test_ends_in_a_row.py::"
                "test_a_shim_that_is_told_to_end_from_outside_is_no_cancel"
            ),
        ),
    ),
    Row(
        number=4,
        fault="kill -9 of a shim",
        injection=(
            "the shim of a running worker is killed: alone; with the spawner, the keeper, or "
            "the server; or with the spawner and the keeper at once"
        ),
        promise=(
            "no process of the worker survives, and the worker is never a success; it runs "
            "again only after its processes have exited; if all three are killed at once, the "
            "reason says that processes may remain, and `status` and `doctor` name the "
            "processes that they find"
        ),
        tests=(
            (
                "integration/launchers/test_launcher_crashes.py::"
                "test_a_killed_shim_is_a_lost_attempt_with_a_tombstone"
            ),
            (
                "faults/test_odd_workers.py::"
                "test_a_worker_whose_shim_is_killed_twice_in_a_row_is_tried_again"
            ),
            "integration/launchers/test_containment_kills.py::test_nothing_escapes_a_killed_shim",
            (
                "integration/launchers/test_containment_kills.py::"
                "test_nothing_escapes_a_shim_that_is_killed_with_what_stands_above_it"
            ),
            (
                "integration/launchers/test_containment_kills.py::"
                "test_nothing_escapes_a_shim_that_is_killed_later_than_what_stood_above_it"
            ),
            (
                "integration/launchers/test_containment_kills.py::"
                "test_nothing_escapes_a_shim_whose_server_was_killed"
            ),
            (
                "faults/test_late_results.py::"
                "test_a_late_result_is_taken_while_nothing_newer_has_started"
            ),
            (
                "faults/test_late_results.py::"
                "test_later_than_the_next_start_it_is_kept_as_salvage_and_named"
            ),
            (
                "integration/launchers/test_containment_kills.py::"
                "test_an_end_says_that_processes_may_remain_when_all_above_its_worker_were_killed"
            ),
            (
                "integration/launchers/test_leftovers.py::"
                "test_a_process_of_an_attempt_that_has_ended_is_named"
            ),
            (
                "integration/launchers/test_leftovers.py::"
                "test_an_orphan_without_a_marker_is_named_by_the_worker_whose_directory_it_is_in"
            ),
        ),
    ),
    Row(
        number=5,
        fault="crash between the record of a start and the start",
        injection="failpoint after the commit",
        promise="the worker starts once, after the restart",
        tests=("faults/test_recovery.py::test_what_was_accepted_starts_after_a_restart",),
    ),
    Row(
        number=6,
        fault="crash between a worker's end and its commit",
        injection="failpoints around the exit record and in the server",
        promise="the exit code is not lost",
        tests=(
            "faults/test_failpoints.py::test_a_crash_at_any_failpoint_changes_nothing",
            (
                "integration/launchers/test_launcher_records.py::"
                "test_a_record_that_was_written_but_not_renamed_counts"
            ),
        ),
    ),
    Row(
        number=7,
        fault="crash during a submission",
        injection="failpoints around the commit; changes that the store rejects",
        promise="the whole submission is stored, or nothing",
        tests=(
            "faults/test_recovery.py::test_what_was_accepted_starts_after_a_restart",
            "contract/test_store.py::test_an_event_that_is_there_already_undoes_the_whole_change",
            "contract/test_store.py::test_changing_what_does_not_exist_undoes_the_whole_change",
        ),
    ),
    Row(
        number=8,
        fault="processes that detach themselves from a worker",
        injection=(
            "six ways, from a child to a daemon with an empty environment, in each mode of "
            "containment"
        ),
        promise="no process survives, and the report names all of them",
        tests=(
            "integration/launchers/test_containment.py::test_nothing_escapes_a_stop",
            (
                "integration/launchers/test_containment.py::"
                "test_nothing_escapes_a_normal_end_and_all_are_named"
            ),
            (
                "integration/launchers/test_ordinary_user.py::"
                "test_containment_holds_for_an_ordinary_user_too"
            ),
        ),
    ),
    Row(
        number=9,
        fault="a process that forks itself continuously",
        injection="a program that forks every 100 microseconds",
        promise="all its processes are killed within seconds",
        tests=(
            (
                "integration/launchers/test_containment_kills.py::"
                "test_a_process_that_forks_itself_anew_is_caught"
            ),
            (
                "integration/launchers/test_containment_kills.py::"
                "test_a_killed_shim_leaves_no_process_that_forks_itself_anew"
            ),
        ),
    ),
    Row(
        number=10,
        fault="a worker that ignores SIGTERM",
        injection="trap '' TERM",
        promise="the worker is killed after its grace period",
        tests=(
            (
                "integration/launchers/test_launcher_stops.py::"
                "test_what_ignores_a_stop_is_killed_after_its_grace"
            ),
        ),
    ),
    Row(
        number=11,
        fault="a worker that ends while its background child keeps its output open",
        injection="sleep in the background",
        promise="the worker ends at once; the child is stopped and named",
        tests=(
            (
                "integration/launchers/test_launcher_stops.py::"
                "test_a_background_child_does_not_keep_a_worker_from_ending"
            ),
            "integration/launchers/test_launcher_stops.py::test_nothing_escapes_a_normal_end",
        ),
    ),
    Row(
        number=12,
        fault="much output that no process reads",
        injection="300 kB without a newline",
        promise="the worker does not block, and the log has all of it",
        tests=(
            (
                "integration/launchers/test_launcher_runs.py::"
                "test_much_output_without_a_newline_is_kept"
            ),
        ),
    ),
    Row(
        number=13,
        fault="a line of 100 MB, invalid UTF-8, NULs, control sequences",
        injection="output of head, tr, and printf",
        promise=(
            "the log has text and colors, and raw/<log> has the original output; answers and "
            "reports are valid text; the server's memory stays bounded"
        ),
        tests=(
            "faults/test_odd_workers.py::test_one_line_of_100_mb_that_is_no_text_is_kept_and_shown",
            (
                "integration/launchers/test_launcher_runs.py::"
                "test_a_log_has_no_control_sequences_but_colors_and_a_raw_file_has_them"
            ),
            "unit/security/test_control_sequences.py::test_no_chunks_let_a_sequence_through",
        ),
    ),
    Row(
        number=14,
        fault="a program that asks on standard input",
        injection="read, and input() of Python",
        promise="the program ends at once, and its output is in the result",
        tests=(
            (
                "faults/test_odd_workers.py::"
                "test_a_program_that_asks_ends_at_once_and_its_words_are_the_reason"
            ),
            (
                "integration/launchers/test_launcher_runs.py::"
                "test_without_a_file_standard_input_is_empty"
            ),
        ),
    ),
    Row(
        number=15,
        fault="a reused process id",
        injection="ns_last_pid in a separate PID namespace",
        promise="no other process is signalled",
        tests=(
            (
                "faults/test_clock_and_pids.py::"
                "test_a_process_with_the_pid_of_a_dead_one_is_never_signalled"
            ),
            "integration/launchers/test_containment.py::test_processes_of_others_are_never_touched",
        ),
    ),
    Row(
        number=16,
        fault="the clock jumps by an hour, ahead and back",
        injection="the server's wall clock is shifted while a job runs, and between two servers",
        promise=("no timeout expires, no retry is delayed, no process is mistaken for another"),
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
        injection="a dead child whose parent does not wait",
        promise="a zombie counts as dead",
        tests=("faults/test_clock_and_pids.py::test_a_zombie_that_nobody_reaps_is_dead",),
    ),
    Row(
        number=61,
        fault="another port than that of a killed server",
        injection=(
            "the server is killed while workers run, and the next one is given another port; the "
            "former port is taken"
        ),
        promise=(
            "the server uses the configured port; it also serves the former port until the "
            "last worker that calls it has ended"
        ),
        tests=(
            (
                "integration/engine/server/test_ports.py::"
                "test_a_killed_servers_workers_reach_the_next_one_that_has_another_port"
            ),
            (
                "integration/engine/server/test_ports.py::"
                "test_a_former_port_is_served_by_every_server_until_its_workers_have_ended"
            ),
            (
                "integration/engine/server/test_ports.py::"
                "test_a_former_port_that_is_taken_costs_a_warning"
            ),
            (
                "integration/engine/server/test_ports.py::"
                "test_a_configured_port_that_is_taken_leaves_a_killed_server_its_own"
            ),
        ),
    ),
    Row(
        number=62,
        fault="a terminal that closes without a signal, and a reader that exits",
        injection="the other end of the terminal is closed; head, which reads from `run`, ends",
        promise=(
            "a closed terminal counts as a hangup: the job is cancelled, and the server "
            "stops; without a reader, `run` stops writing, and exits with the job's code"
        ),
        tests=(
            "unit/cli/jobs/test_run.py::test_a_terminal_that_ends_without_a_signal_is_a_hangup",
            "unit/cli/jobs/test_run.py::test_a_terminal_that_is_closed_is_written_to_no_more",
            "unit/cli/jobs/test_run.py::test_a_run_ends_like_its_job_although_its_reader_has_left",
        ),
    ),
    Row(
        number=63,
        fault="an AI tool renews its login, and is killed",
        injection=(
            "a new login file in place of the link; the driver is killed before it copies the "
            "file back"
        ),
        promise=(
            "the user's login is renewed within half a second; after a crash, the next "
            "attempt renews it; a newer login of the user stays"
        ),
        tests=(
            (
                "integration/agents/test_driver.py::"
                "test_a_renewed_login_is_the_users_while_the_agent_still_works"
            ),
            "unit/agents/driver_process/test_logins.py::test_each_renewal_is_brought_back",
            (
                "unit/agents/driver_process/test_logins.py::"
                "test_what_a_killed_attempt_renewed_is_brought_back_by_the_next"
            ),
            "unit/agents/driver_process/test_logins.py::test_a_login_that_was_changed_meanwhile_stays",
        ),
    ),
)
