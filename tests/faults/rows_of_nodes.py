"""The fault table: nodes of a cluster."""

from tests.faults.row import Row

CUTS = "faults/test_cuts_at_messages.py"
LINKS = "faults/test_links_of_nodes.py"
CHILDREN = "faults/test_child_jobs_of_nodes.py"
OWN = "faults/test_own_files_of_nodes.py"
OWN_FILES = "integration/launchers/cluster/test_own_files.py"
SHORT = "faults/test_shortages_of_nodes.py"
NODES = "integration/launchers/cluster/test_nodes.py"
ADDRESSES = "integration/launchers/cluster/test_addresses.py"
CLUSTER = "integration/engine/server/test_cluster.py"
ELSEWHERE = "faults/test_standby_elsewhere.py"
SESSIONS = "integration/store/test_server_lease.py"
LATE = "integration/engine/server/test_late_ends_of_nodes.py"

ROWS = (
    Row(
        number=69,
        fault="kill -9 of the process that serves a node",
        injection=("SIGKILL while a worker prints"),
        promise="the process is started again; the worker continues, and its log is complete",
        tests=(f"{NODES}::test_a_killed_daemon_is_started_again_and_costs_no_work",),
    ),
    Row(
        number=70,
        fault="kill -9 of both processes of a node",
        injection=("SIGKILL while workers run"),
        promise=(
            "no worker runs after its lease has expired; only then workers count as lost, and "
            "run again on other machines"
        ),
        tests=(
            f"{NODES}::test_workers_of_a_dead_node_end_with_their_lease",
            f"{CLUSTER}::test_workers_of_a_killed_node_run_again_on_another",
            "integration/launchers/test_leases.py::test_a_launcher_that_hangs_or_dies_extends_no_lease",
        ),
    ),
    Row(
        number=71,
        fault="a node is suspended",
        injection=("SIGSTOP of its processes for longer than the lease"),
        promise=("its shims stop its workers; the node works again afterwards"),
        tests=(
            f"{NODES}::test_a_node_that_stands_still_is_fenced_by_its_shims",
            f"{NODES}::test_a_start_shows_that_a_node_without_workers_is_suspended",
        ),
    ),
    Row(
        number=72,
        fault="the connection to a node is cut",
        injection=(
            "a relay loses all bytes, to one side or both; a network namespace loses its link"
        ),
        promise=(
            "within the lease, workers continue; after the lease, a worker has exited before it"
            " starts again"
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
        fault="the server of a cluster is killed, or away for longer than the lease",
        injection=("SIGKILL, and a restart"),
        promise=(
            "workers of nodes continue; the next server adopts them, and their logs are complete"
        ),
        tests=(
            f"{NODES}::test_the_absence_of_the_server_is_no_partition",
            f"{ADDRESSES}::test_a_server_is_absent_only_if_all_its_addresses_refuse",
            f"{CLUSTER}::test_a_killed_server_adopts_the_workers_of_its_nodes",
        ),
    ),
    Row(
        number=74,
        fault="an unknown program connects",
        injection=(
            "plain text, TLS without a certificate, another authority, a node as the server"
        ),
        promise="the program gets no answer; a node prints what to do",
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
        fault="two machines with the name of one node",
        injection=("the same join file is used twice"),
        promise=("the second machine is rejected; the first continues"),
        tests=(
            f"{NODES}::test_another_machine_with_the_same_name_is_rejected",
            f"{LINKS}::test_the_second_of_two_machines_of_one_name_is_rejected",
        ),
    ),
    Row(
        number=76,
        fault="the certificate of a node has expired, or was replaced or removed",
        injection=("a certificate of a second; entries that are changed while workers run"),
        promise=("the node names the command that renews it; a removed node is cut off"),
        tests=(
            f"{NODES}::test_a_node_whose_certificate_has_expired_is_told_what_to_do",
            f"{NODES}::test_a_removed_node_is_cut_off_and_rejected",
            f"{NODES}::test_a_renewed_certificate_replaces_the_former_one",
            f"{LINKS}::test_a_certificate_that_expires_keeps_its_connection_and_gets_no_other",
        ),
    ),
    Row(
        number=77,
        fault="the clock of a node jumps",
        injection=("the wall clock is set back by an hour while a worker runs"),
        promise=("no lease ends early or late"),
        tests=(f"{NODES}::test_a_jump_of_the_wall_clock_changes_no_lease",),
    ),
    Row(
        number=78,
        fault="a node with another version, user id, or workspace",
        injection=("a node that reports other values; another mark in the workspace"),
        promise="the node is rejected, and prints what to do",
        tests=(
            f"{NODES}::test_a_node_that_differs_is_refused_with_what_to_do",
            f"{NODES}::test_a_machine_without_the_workspace_is_refused",
        ),
    ),
    Row(
        number=79,
        fault="anything of a cluster is killed, cut off, or stopped",
        injection=(
            "processes of three nodes, whole nodes, their networks, and the server, at instants "
            "chosen by a seed, while jobs with child jobs, worktrees, merges, and gates run: "
            "python -m tests.support.node_kills"
        ),
        promise=("no work is lost, no two runs of a worker overlap, and no process remains"),
        tests=("faults/test_node_kills.py::test_no_kill_of_nodes_loses_or_doubles_work",),
    ),
    Row(
        number=80,
        fault="a node reconnects after it was declared lost",
        injection=(
            "a relay loses all bytes until the node is lost, while a worker there ends; the server "
            "is killed in that time"
        ),
        promise=(
            "the result counts if no newer attempt has started; otherwise the result is saved, "
            "and the report names it"
        ),
        tests=(
            f"{LATE}::test_a_late_result_of_a_node_is_taken_while_nothing_newer_has_started",
            f"{LATE}::test_a_node_that_comes_back_gives_its_results_before_it_gets_workers",
            f"{LATE}::test_later_than_the_next_start_it_is_kept_as_salvage_and_named",
        ),
    ),
    Row(
        number=81,
        fault="the link of a node stalls",
        injection="each packet of a network namespace takes 0.4 s, 2 s, or 20 s",
        promise=(
            "within the lease, workers continue; a late answer extends no lease beyond the time"
            " that the server knows"
        ),
        tests=(
            f"{LINKS}::test_answers_that_are_late_but_within_the_lease_cost_nothing",
            f"{LINKS}::test_answers_that_are_later_than_the_lease_extend_none",
            f"{LINKS}::test_a_link_that_stalls_for_longer_than_the_lease_fences_the_node",
        ),
    ),
    Row(
        number=82,
        fault="the link of a node loses packets",
        injection="15 % of the packets of a network namespace are lost",
        promise="workers continue, and their logs are complete",
        tests=(f"{LINKS}::test_lost_packets_cost_no_line",),
    ),
    Row(
        number=83,
        fault="the connection of a node ends at any message",
        injection="the first message of each kind and direction, before it is sent or after",
        promise="nothing is lost, nothing runs twice, and a stop still arrives",
        tests=(f"{CUTS}::test_a_connection_that_ends_at_a_message_loses_and_doubles_nothing",),
    ),
    Row(
        number=84,
        fault="full disk: a node",
        injection="a small file system in memory with the node's state is filled",
        promise=(
            "no worker starts on the node, and no retry is used; running workers end, and "
            "their log is marked as incomplete; the node's process can be started again"
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
        fault="a worker of a node uses too much memory",
        injection="a worker beyond workers.limits.memory on a node",
        promise=(
            "the worker ends with the limit as the reason; the node and its other workers continue"
        ),
        tests=(f"{SHORT}::test_a_worker_beyond_its_memory_on_a_node_ends_alone",),
    ),
    Row(
        number=86,
        fault="kill -9 of the server while a standby server waits",
        injection="the server is killed while its workers run and `serve --standby` waits",
        promise=(
            "the standby server starts and adopts the workers; each worker runs once; a standby"
            " server on another machine is rejected"
        ),
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
        fault="anything of a cluster whose nodes do not share the server's files is killed",
        injection=(
            "as in row 79, while files of several megabytes are sent in both directions: "
            "python -m tests.support.node_kills --own-files"
        ),
        promise="no work is lost or damaged, no two runs of a worker overlap, and no file remains",
        tests=(
            "faults/test_node_kills.py::"
            "test_no_kill_of_nodes_without_shared_files_loses_or_doubles_work",
        ),
    ),
    Row(
        number=88,
        fault="the connection breaks while the files of an attempt are sent",
        injection="a relay ends the connection, in the middle of each direction",
        promise=(
            "to the node: the attempt starts again without using a retry, and the node keeps "
            "nothing; to the server: the transfer continues"
        ),
        tests=(
            f"{OWN_FILES}::test_a_link_that_breaks_before_the_start_costs_no_retry",
            f"{OWN_FILES}::test_a_link_that_breaks_while_files_come_back_doubles_nothing",
        ),
    ),
    Row(
        number=89,
        fault="a node is killed while it sends the files of an attempt",
        injection="SIGKILL of the process that serves, or of both processes",
        promise=(
            "the next process sends the rest; if the node is lost, no file on the server's "
            "machine has changed"
        ),
        tests=(
            f"{OWN}::test_a_killed_node_process_sends_the_rest_of_its_files",
            f"{OWN}::test_a_node_that_is_lost_while_it_sends_its_files_changes_none",
        ),
    ),
    Row(
        number=90,
        fault="full disk: the server, while it gets the files of an attempt",
        injection="a small file system in memory with the workspace is filled",
        promise="the result waits on the node until there is space; a cancel ends the wait",
        tests=(
            f"{OWN}::test_a_full_disk_of_the_server_delays_the_result",
            f"{OWN}::test_a_worker_that_waits_for_a_full_disk_of_the_server_can_be_cancelled",
        ),
    ),
    Row(
        number=91,
        fault="full disk: a node, while it gets or packs the files of an attempt",
        injection="a small file system in memory with the node's state is filled",
        promise=(
            "before the start, no retry is used; after the end, the node packs the files when "
            "there is space"
        ),
        tests=(
            f"{OWN}::test_a_start_whose_files_find_no_space_on_the_node_uses_no_retry",
            f"{OWN}::test_a_full_disk_of_the_node_delays_the_result",
        ),
    ),
    Row(
        number=92,
        fault="a fault while a child job starts from, or changes, files on a node of its own",
        injection=(
            "the connection ends at each message; SIGKILL of the server or of the node's process "
            "after each step; the node is lost before and after it gets the result; a small disk "
            "of the node is filled"
        ),
        promise=(
            "one child job starts, runs once, and its result is in the worker's files; a step "
            "that was cut off is repeated"
        ),
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
        fault="the machine of the server is lost while a standby server on another machine waits",
        injection=(
            "PostgreSQL, cluster.server_lease, and a PID namespace for each machine; all processes"
            " of the first are killed, or stopped (SIGSTOP) for longer than the lease"
        ),
        promise=(
            "the second server starts the workers again after the lease, without using a retry; "
            "no two runs overlap after a kill, results of ended workers count, and a machine that "
            "wakes changes nothing"
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
        fault="the server hangs, or loses its database, while a standby server elsewhere waits",
        injection="SIGSTOP of the server; its connections to PostgreSQL are closed and refused",
        promise=(
            "the shims stop the workers, and the server ends, before the second server starts "
            "them again; no retry is used, and no two runs overlap"
        ),
        tests=(
            f"{ELSEWHERE}::test_a_server_that_hangs_is_killed_before_it_is_replaced",
            f"{ELSEWHERE}::test_a_server_without_its_database_stops_before_it_is_replaced",
            f"{SESSIONS}::test_a_replaced_server_writes_nothing",
        ),
    ),
)
