"""The fault table: nodes of a cluster."""

from tests.faults.row import Row

CUTS = "faults/test_cuts_at_messages.py"
LINKS = "faults/test_links_of_nodes.py"
CHILDREN = "faults/test_child_jobs_of_nodes.py"
OWN = "faults/test_own_files_of_nodes.py"
OWN_FILES = "integration/launchers/cluster/file_transfer/test_own_files.py"
SHORT = "faults/test_shortages_of_nodes.py"
NODES = "integration/launchers/cluster/test_nodes.py"
ADDRESSES = "integration/launchers/cluster/connection/test_addresses.py"
CLUSTER = "integration/launchers/cluster/test_cluster.py"
ELSEWHERE = "faults/test_standby_elsewhere.py"
SESSIONS = "integration/store/database/test_server_lease.py"
LATE = "integration/launchers/cluster/test_late_ends_of_nodes.py"

ROWS = (
    Row(
        number=69,
        fault="a node's serving process is killed",
        injection="SIGKILL while a worker prints",
        promise="the worker continues; its log is complete",
        tests=(f"{NODES}::test_a_killed_daemon_is_started_again_and_costs_no_work",),
    ),
    Row(
        number=70,
        fault="both processes of a node are killed",
        injection="SIGKILL while workers run",
        promise="workers stop at the lease's end; only then do they run again elsewhere",
        tests=(
            f"{NODES}::test_workers_of_a_dead_node_end_with_their_lease",
            f"{CLUSTER}::test_workers_of_a_killed_node_run_again_on_another",
            "integration/launchers/shim/test_leases.py::test_a_launcher_that_hangs_or_dies_extends_no_lease",
        ),
    ),
    Row(
        number=71,
        fault="a node is suspended",
        injection="SIGSTOP for longer than the lease",
        promise="its workers are stopped; the node works again afterwards",
        tests=(
            f"{NODES}::test_a_node_that_stands_still_is_fenced_by_its_shims",
            f"{NODES}::test_a_start_shows_that_a_node_without_workers_is_suspended",
        ),
    ),
    Row(
        number=72,
        fault="the connection to a node is cut",
        injection="a relay or network namespace loses all bytes",
        promise=(
            "within the lease, workers continue; after the lease, a worker ends before it "
            "starts again elsewhere"
        ),
        tests=(
            f"{NODES}::test_a_short_break_of_the_connection_costs_nothing",
            f"{NODES}::test_a_cut_connection_ends_the_workers_before_they_count_as_lost",
            f"{NODES}::test_a_start_that_the_connection_lost_is_free",
            "faults/test_partitions.py::test_no_worker_runs_on_both_sides_of_a_partition",
            f"{LINKS}::test_a_link_that_is_cut_one_way_fences_the_node_before_its_workers_count_as_lost",
            f"{LINKS}::test_a_stop_that_meets_a_cut_link_arrives_after_it",
        ),
    ),
    Row(
        number=73,
        fault="a cluster's server is killed, or absent for longer than the lease",
        injection="SIGKILL, and a restart",
        promise="workers continue; the next server adopts them; logs are complete",
        tests=(
            f"{NODES}::test_the_absence_of_the_server_is_no_partition",
            f"{ADDRESSES}::test_a_server_is_absent_only_if_all_its_addresses_refuse",
            f"{CLUSTER}::test_a_killed_server_adopts_the_workers_of_its_nodes",
        ),
    ),
    Row(
        number=74,
        fault="an unknown program connects",
        injection="plain text, no certificate, a certificate of another authority",
        promise="the program gets no answer",
        tests=(
            f"{NODES}::test_a_connection_without_tls_or_certificate_gets_nothing",
            f"{NODES}::test_a_node_of_another_authority_is_rejected",
            f"{NODES}::test_a_node_cannot_pass_for_the_server",
            f"{LINKS}::test_a_stranger_from_another_machine_gets_no_answer",
            f"{ADDRESSES}::test_an_address_of_another_server_is_skipped_and_named",
        ),
    ),
    Row(
        number=75,
        fault="two machines with one node's name",
        injection="the same join file twice",
        promise="the second machine is rejected; the first continues",
        tests=(
            f"{NODES}::test_another_machine_with_the_same_name_is_rejected",
            f"{LINKS}::test_the_second_of_two_machines_of_one_name_is_rejected",
        ),
    ),
    Row(
        number=76,
        fault="a node's certificate expired, or a node was removed",
        injection="a certificate that is valid for one second",
        promise="the node names the command that renews it; a removed node is cut off",
        tests=(
            f"{NODES}::test_a_node_whose_certificate_has_expired_names_the_command_to_renew_it",
            f"{NODES}::test_a_removed_node_is_cut_off_and_rejected",
            f"{NODES}::test_a_renewed_certificate_replaces_the_former_one",
            f"{LINKS}::test_a_certificate_that_expires_keeps_its_connection_and_gets_no_other",
        ),
    ),
    Row(
        number=77,
        fault="a node's clock jumps",
        injection="the wall clock is set back by an hour",
        promise="no lease ends early or late",
        tests=(f"{NODES}::test_a_jump_of_the_wall_clock_changes_no_lease",),
    ),
    Row(
        number=78,
        fault="another version, code, user id, or workspace",
        injection="a node with other values",
        promise="the node is rejected, and prints what to do",
        tests=(
            f"{NODES}::test_a_node_that_differs_is_refused_with_what_to_do",
            f"{NODES}::test_a_machine_without_the_workspace_is_refused",
        ),
    ),
    Row(
        number=79,
        fault="a node, a connection, or the server is killed or cut off",
        injection="random faults: `.venv/bin/python -m tests.support.node_kills`",
        promise="no work is lost; no two runs of a worker overlap; no process remains",
        tests=("faults/test_node_kills.py::test_no_kill_of_nodes_loses_or_doubles_work",),
    ),
    Row(
        number=80,
        fault="a lost node with shared files reconnects",
        injection="a relay loses all bytes until the node is lost",
        promise=(
            "the result counts if no newer attempt has started; otherwise it is saved and named"
        ),
        tests=(
            f"{LATE}::test_a_late_result_of_a_node_is_taken_while_nothing_newer_has_started",
            f"{LATE}::test_a_node_that_comes_back_gives_its_results_before_it_gets_workers",
            f"{LATE}::test_later_than_the_next_start_it_is_kept_as_salvage_and_named",
        ),
    ),
    Row(
        number=81,
        fault="a node's link stalls",
        injection="packets take 0.4 s, 2 s, or 20 s",
        promise=(
            "within the lease, workers continue; an answer after the lease's end does not "
            "extend the lease"
        ),
        tests=(
            f"{LINKS}::test_answers_that_are_late_but_within_the_lease_cost_nothing",
            f"{LINKS}::test_answers_that_are_later_than_the_lease_extend_none",
            f"{LINKS}::test_a_link_that_stalls_for_longer_than_the_lease_fences_the_node",
        ),
    ),
    Row(
        number=82,
        fault="a node's link loses packets",
        injection="15 % of the packets",
        promise="workers continue; logs are complete",
        tests=(f"{LINKS}::test_lost_packets_cost_no_line",),
    ),
    Row(
        number=83,
        fault="a node's connection ends at any message",
        injection="the connection is cut before and after each kind of message",
        promise="no result is lost; no worker runs twice; a request to stop still arrives",
        tests=(f"{CUTS}::test_a_connection_that_ends_at_a_message_loses_and_doubles_nothing",),
    ),
    Row(
        number=84,
        fault="full disk: a node",
        injection="the file system of the node's directory (`node join --state`) is filled",
        promise=(
            "no worker starts (this does not count as a retry); a running worker whose log is "
            "incomplete fails, as in row 19"
        ),
        tests=(
            f"{SHORT}::test_nothing_starts_on_a_node_with_a_full_disk_and_it_costs_no_retry",
            (
                f"{SHORT}::test_a_worker_that_runs_when_the_disk_of_its_node_fills_ends_without_"
                "the_rest_of_its_log"
            ),
            f"{SHORT}::test_a_daemon_that_starts_again_on_a_full_disk_keeps_its_workers",
        ),
    ),
    Row(
        number=85,
        fault="a node's worker uses too much memory",
        injection="allocation beyond `workers.limits.memory`",
        promise="only this worker ends, with the limit as the reason",
        tests=(f"{SHORT}::test_a_worker_beyond_its_memory_on_a_node_ends_alone",),
    ),
    Row(
        number=86,
        fault="server killed while a standby server waits",
        injection="kill while workers run",
        promise="the standby server adopts the workers; each worker runs once",
        tests=(
            "faults/test_standby.py::test_a_standby_adopts_the_workers_of_a_killed_server",
            f"{CLUSTER}::test_a_standby_server_adopts_the_workers_of_nodes",
            f"{ADDRESSES}::test_a_node_follows_the_server_to_its_other_address",
            (
                "faults/test_standby.py::"
                "test_a_standby_is_refused_if_the_holder_is_not_on_this_machine"
            ),
        ),
    ),
    Row(
        number=87,
        fault="kills, with nodes that share no files",
        injection="as in row 79: `.venv/bin/python -m tests.support.node_kills --own-files`",
        promise="as in row 79; no work is damaged; no file of an attempt remains on a node",
        tests=(
            "faults/test_node_kills.py::"
            "test_no_kill_of_nodes_without_shared_files_loses_or_doubles_work",
        ),
    ),
    Row(
        number=88,
        fault="connection breaks during a transfer",
        injection="a relay ends the connection",
        promise=(
            "transfer to the node: the attempt starts again (this does not count as a retry); "
            "transfer to the server: the transfer continues"
        ),
        tests=(
            f"{OWN_FILES}::test_a_link_that_breaks_before_the_start_costs_no_retry",
            f"{OWN_FILES}::test_a_link_that_breaks_while_files_come_back_doubles_nothing",
        ),
    ),
    Row(
        number=89,
        fault="a node is killed during a transfer",
        injection="SIGKILL of one or both processes",
        promise=(
            "the next process sends the rest; a lost node changes no file on the server's machine"
        ),
        tests=(
            f"{OWN}::test_a_killed_node_process_sends_the_rest_of_its_files",
            f"{OWN}::test_a_node_that_is_lost_while_it_sends_its_files_changes_none",
        ),
    ),
    Row(
        number=90,
        fault="full disk: the server, during a transfer",
        injection="the workspace's file system is filled",
        promise="the result waits on the node; a cancel ends the wait",
        tests=(
            f"{OWN}::test_a_full_disk_of_the_server_delays_the_result",
            f"{OWN}::test_a_worker_that_waits_for_a_full_disk_of_the_server_can_be_cancelled",
        ),
    ),
    Row(
        number=91,
        fault="full disk: a node, during a transfer",
        injection="the file system of the node's directory (`node join --state`) is filled",
        promise=(
            "if the worker had not started, it starts again (this does not count as a retry); "
            "if it had ended, the node waits up to 60 s for space"
        ),
        tests=(
            f"{OWN}::test_a_start_whose_files_find_no_space_on_the_node_uses_no_retry",
            f"{OWN}::test_a_full_disk_of_the_node_delays_the_result",
        ),
    ),
    Row(
        number=92,
        fault="a fault during a child job on a node without shared files",
        injection="connection cut at each message; kills after each step; a full disk",
        promise="the child job runs exactly once; its result is in the worker's files",
        tests=(
            f"{CHILDREN}::"
            "test_a_connection_that_ends_at_a_message_of_a_child_job_loses_and_doubles_nothing",
            f"{CHILDREN}::"
            "test_a_server_that_is_killed_between_two_steps_of_a_child_job_repeats_the_step",
            f"{CHILDREN}::test_a_killed_node_process_repeats_the_step_of_a_child_job",
            f"{CHILDREN}::test_a_node_that_is_lost_while_it_gets_a_result_loses_no_result",
            f"{CHILDREN}::test_a_child_job_waits_for_space_on_the_disk_of_its_node",
        ),
    ),
    Row(
        number=93,
        fault="server's machine lost, standby server elsewhere",
        injection="the machine's processes are killed, or stopped for longer than the server lease",
        promise=(
            "the second server starts unfinished workers again (this does not count as a retry); a "
            "machine that wakes changes nothing"
        ),
        tests=(
            f"{ELSEWHERE}::test_a_standby_replaces_a_lost_machine",
            f"{ELSEWHERE}::test_a_machine_that_wakes_after_its_lease_writes_nothing",
            f"{ELSEWHERE}::test_a_standby_adopts_the_workers_of_nodes",
            f"{ELSEWHERE}::test_a_standby_elsewhere_is_refused_without_a_lease",
        ),
    ),
    Row(
        number=94,
        fault="server hangs or loses its database, standby server elsewhere",
        injection="SIGSTOP; PostgreSQL refuses connections",
        promise=(
            "workers and server stop before the second server starts the workers; this "
            "does not count as a retry"
        ),
        tests=(
            f"{ELSEWHERE}::test_a_server_that_hangs_is_killed_before_it_is_replaced",
            f"{ELSEWHERE}::test_a_server_without_its_database_stops_before_it_is_replaced",
            f"{SESSIONS}::test_a_replaced_server_writes_nothing",
        ),
    ),
)
