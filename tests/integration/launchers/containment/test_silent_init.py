"""The report about a PID namespace whose first process was killed early."""

import socket

from orchestrator.launchers.containment.pid_namespace import Namespaces


def test_an_init_that_is_killed_before_it_reads_its_answer_is_silent() -> None:
    held, end = socket.socketpair()
    namespaces = Namespaces({"limits": {}})
    namespaces._wire, namespaces._worker = held, 4711
    held.setblocking(False)
    held.sendall(b"\n")
    # Linux resets a socket whose other end is closed with unread data.
    end.close()

    assert list(namespaces._reported_end()) == []
    assert [pid for pid, _, _ in namespaces._killed_worker()] == [4711]
    namespaces.close()
