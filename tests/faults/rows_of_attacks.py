"""The fault table: load, attacks, and changes of the server's environment."""

from tests.faults.row import Row

ROWS = (
    Row(
        number=36,
        fault="clients that request a stream, and do not read it",
        injection="sockets that are never read",
        promise="their connections are closed; other callers are not delayed",
        tests=(
            "integration/api/socket_loop/test_socket_loop.py::test_a_reader_that_lags_is_dropped_and_others_are_not",
            "integration/api/socket_loop/test_socket_loop.py::test_streams_beyond_the_threads_leave_posts_answered",
            "integration/api/socket_loop/test_socket_loop.py::test_descriptors_return_after_many_streams",
        ),
    ),
    Row(
        number=37,
        fault="1,000 submissions at once",
        injection="50 threads, beyond the rate limit",
        promise=(
            "each submission is accepted, or rejected with a time to wait; no accepted job is lost"
        ),
        tests=("faults/test_keys_and_floods.py::test_a_thousand_submissions_at_once_lose_no_job",),
    ),
    Row(
        number=38,
        fault="calls from other sites",
        injection="foreign Host or Origin; JSON sent as plain text",
        promise="each call is rejected",
        tests=(
            "unit/api/access/test_origin_guard.py::test_other_names_are_refused_everywhere",
            "unit/api/access/test_origin_guard.py::test_calls_from_other_sites_are_refused",
            "integration/api/http_server/test_hostile_requests.py::test_only_json_in_utf_8_is_taken",
            "integration/api/http_server/test_hostile_requests.py::test_two_keys_or_two_hosts_are_none",
        ),
    ),
    Row(
        number=39,
        fault="worker replaces its files",
        injection="links, FIFOs, devices, exchanged directories",
        promise=(
            "no file outside of the worker's directory is read or written; every report is "
            "written; nothing blocks"
        ),
        tests=(
            "integration/security/files/test_files_of_workers.py::test_what_a_worker_plants_is_not_read",
            (
                "integration/security/files/test_files_of_workers.py::"
                "test_a_directory_of_a_job_that_became_a_link_gives_nothing_away"
            ),
            (
                "unit/security/files/test_untrusted_files.py::"
                "test_a_file_that_is_exchanged_all_the_time_is_never_read_through_a_link"
            ),
            "unit/security/files/test_untrusted_files.py::test_no_spelling_of_a_path_reads_outside",
            "unit/git/command/test_fifo_guard.py::test_a_planted_pipe_blocks_no_commit_and_loses_no_work",
            (
                "integration/security/files/test_files_of_workers.py::"
                "test_a_directory_in_the_place_of_the_final_report_is_kept_beside_it"
            ),
            (
                "unit/workspace/test_workspace.py::"
                "test_nothing_is_written_through_a_link_in_place_of_a_jobs_directory"
            ),
        ),
    ),
    Row(
        number=40,
        fault="hostile text in a worker's output",
        injection="templates, HTML, Markdown, control sequences",
        promise=(
            "reports, pages, and terminals show the output as text; in prompts, the output is "
            "never a template"
        ),
        tests=(
            "unit/reports/test_template_filters.py::test_a_workers_markdown_holds_nothing_active",
            (
                "unit/reports/test_template_filters.py::"
                "test_plain_text_has_no_controls_and_can_be_written"
            ),
            "unit/reports/test_reports_templates.py::test_text_of_a_worker_is_never_a_template",
            "fuzz/test_text.py::test_text_in_a_prompt_is_never_a_template",
        ),
    ),
    Row(
        number=41,
        fault="secrets that are split or encoded",
        injection="a secret cut at each position; base64, URL, JSON",
        promise="the secret is never in logs, events, reports, or files of an attempt",
        tests=(
            "unit/security/secrets/test_masking.py::test_a_secret_never_appears_however_the_stream_is_cut",
            "fuzz/test_text.py::test_an_encoded_secret_is_masked_wherever_it_is_cut",
            (
                "integration/security/files/test_files_of_workers.py::"
                "test_a_key_that_a_worker_reports_is_masked_everywhere"
            ),
            "integration/agents/driver_process/test_driver.py::test_keys_are_masked_in_the_files_of_an_attempt",
        ),
    ),
    Row(
        number=42,
        fault="expired or invented keys, and keys of other callers",
        injection="each key on every call",
        promise=(
            "no call shows or changes a job of another caller: 401 for an invalid key (403 in "
            "`/api/v1/tasks`); otherwise 404, 403, or 422"
        ),
        tests=(
            (
                "faults/test_keys_and_floods.py::"
                "test_keys_that_are_dead_foreign_or_made_up_open_nothing"
            ),
            "integration/engine/service/access/test_keys.py::test_a_key_dies_with_its_attempt",
            "integration/engine/service/access/test_keys.py::test_a_worker_sees_its_own_subtree_and_nothing_else",
        ),
    ),
    Row(
        number=43,
        fault="a webhook to the internal network",
        injection="redirects, mapped addresses, rebinding names",
        promise="the address is rejected",
        tests=(
            "unit/outbox/delivery/test_allowed_addresses.py::test_a_hostile_address_is_refused",
            "unit/outbox/delivery/test_allowed_addresses.py::test_a_hostile_address_is_refused_at_sending_too",
            (
                "unit/outbox/delivery/test_allowed_addresses.py::"
                "test_a_name_that_changes_its_address_between_two_looks_is_refused"
            ),
            "unit/outbox/delivery/test_allowed_addresses.py::test_every_address_of_a_name_must_be_public",
            "integration/outbox/test_webhooks.py::test_a_redirect_is_not_followed",
        ),
    ),
    Row(
        number=44,
        fault="worker hangs or prints nothing",
        injection="SIGSTOP of the worker, children, and shim",
        promise="the worker ends at its timeout, with all its processes",
        tests=(
            ("faults/test_odd_workers.py::test_a_stopped_worker_ends_at_its_timeout"),
            "integration/launchers/local/test_launcher_stops.py::test_a_stopped_process_is_ended_too",
            "integration/launchers/local/test_launcher_stops.py::test_a_stopped_shim_is_resumed",
        ),
    ),
    Row(
        number=45,
        fault="git: conflicts, dirty trees, stale locks",
        injection="scripted repositories",
        promise=(
            "each problem is reported or resolved; other worktrees and your checkout do not change"
        ),
        tests=(
            "unit/git/merge/test_merge_tree.py::test_merging",
            "unit/git/landing/test_land_and_undo.py::test_a_landing_that_fails_changes_nothing",
            "unit/git/worktrees/test_worktrees.py::test_a_lock_of_a_killed_git_does_not_stop_the_commit",
            "integration/engine/worktrees/test_git.py::test_everything_of_the_users_stays_byte_for_byte",
            "integration/engine/worktrees/test_git.py::test_a_crash_costs_no_change_and_leaves_no_worktree",
            (
                "integration/git/repair/test_removed_refs.py::"
                "test_a_worker_that_removes_all_refs_of_its_own_loses_nothing"
            ),
            (
                "integration/git/repair/test_removed_refs.py::"
                "test_a_branch_that_another_worker_removes_comes_back"
            ),
            (
                "integration/git/repair/test_changed_settings.py::"
                "test_nothing_is_merged_with_merge_settings_of_a_worker_alone"
            ),
        ),
    ),
    Row(
        number=46,
        fault="two SIGTERM to the server",
        injection="signals",
        promise="the first stops the server orderly, the second stops it at once; both are safe",
        tests=(
            "faults/test_lifecycle.py::test_a_second_signal_ends_a_server_at_once",
            "faults/test_lifecycle.py::test_running_workers_of_an_ended_server_continue_and_are_adopted",
            (
                "integration/engine/supervisor/test_crashes.py::"
                "test_a_stopped_server_stops_its_workers_and_runs_them_again"
            ),
        ),
    ),
    Row(
        number=47,
        fault="an upgrade while workers run",
        injection="database and shims of the previous release",
        promise="the new server adopts the workers",
        tests=(
            "faults/test_upgrade.py::test_the_next_release_adopts_running_workers",
            "faults/test_upgrade.py::test_ended_jobs_are_unchanged_after_an_upgrade",
            "faults/test_upgrade.py::test_a_running_attempt_without_its_shim_is_run_again",
        ),
    ),
    Row(
        number=48,
        fault="PostgreSQL is unavailable",
        injection="connections are closed; no database for seconds",
        promise="no run of a worker is lost or repeated; calls fail at worst with 503",
        tests=(
            (
                "integration/store/database/test_jobs_on_postgresql.py::"
                "test_connections_that_are_cut_off_lose_and_double_nothing"
            ),
            (
                "integration/store/database/test_jobs_on_postgresql.py::"
                "test_a_server_that_goes_away_for_seconds_loses_and_doubles_nothing"
            ),
            (
                "integration/store/database/test_postgresql.py::"
                "test_every_call_fails_while_the_database_is_away_and_succeeds_afterwards"
            ),
            (
                "integration/store/database/test_postgresql.py::"
                "test_a_lost_connection_fails_one_save_and_no_read"
            ),
            (
                "integration/store/database/test_postgresql.py::"
                "test_a_change_whose_commit_was_not_answered_is_not_stored_twice"
            ),
        ),
    ),
    Row(
        number=49,
        fault="many faults for a long time",
        injection="random jobs and kills: `.venv/bin/python -m tests.support.kills`",
        promise="no job is lost or runs twice; no process remains",
        tests=("faults/test_kills.py::test_no_kill_loses_or_doubles_work",),
    ),
    Row(
        number=59,
        fault="half-sent requests; every thread busy",
        injection="connections that send byte by byte",
        promise="`/health` and cancel are answered; a half-sent request is closed after 5 s",
        tests=(
            "integration/api/http_server/test_connections.py::test_a_half_sent_head_ends_the_connection",
            "integration/api/http_server/test_connections.py::test_half_sent_requests_keep_nobody_out",
            (
                "integration/api/http_server/test_connections.py::"
                "test_health_and_cancel_are_answered_while_every_thread_is_busy"
            ),
            "integration/api/http_server/test_connections.py::test_beyond_the_limit_health_alone_is_answered",
        ),
    ),
    Row(
        number=60,
        fault="a power cut",
        injection="all processes are killed; the kernel's boot id changes",
        promise="interrupted workers run again; this does not count as a retry",
        tests=("faults/test_recovery.py::test_a_worker_that_ended_with_the_machine_uses_no_retry",),
    ),
    Row(
        number=55,
        fault="worker forges its exit record",
        injection="the worker writes a record of success, with a guessed secret or with none",
        promise="the attempt is lost; its reason names the forged record",
        tests=(
            (
                "integration/launchers/exit_record/test_forged_records.py::"
                "test_a_worker_that_writes_a_record_and_kills_its_shim_is_not_believed"
            ),
            (
                "integration/launchers/exit_record/test_forged_records.py::"
                "test_a_forged_record_is_not_believed_in_any_mode"
            ),
            (
                "integration/launchers/exit_record/test_forged_records.py::"
                "test_an_adopted_attempt_is_judged_by_its_proof"
            ),
            (
                "integration/launchers/exit_record/test_forged_records.py::"
                "test_a_record_of_an_earlier_release_is_believed"
            ),
            (
                "integration/launchers/exit_record/test_forged_records_of_jobs.py::"
                "test_a_forged_success_is_a_lost_attempt_and_is_named"
            ),
            (
                "integration/launchers/exit_record/test_forged_records_of_jobs.py::"
                "test_a_record_that_was_forged_without_a_server_is_not_believed_by_the_next_one"
            ),
        ),
    ),
)
