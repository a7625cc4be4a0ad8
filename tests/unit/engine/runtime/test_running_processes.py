"""Each end of a process reaches the handler that was registered for it, once."""

import threading

from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.engine.runtime.running_processes import RunningProcesses

ENDED = Exit(ended_by=EndedBy.EXIT, code=0)


def test_an_end_reaches_its_own_handler() -> None:
    processes = RunningProcesses()
    attempt: list[Exit] = []
    gate: list[Exit] = []
    processes.expect("a/worker_1/1", attempt.append)
    processes.expect("a/gate_worker_1.pytest/1", gate.append)
    processes.ended("a/worker_1/1", ENDED)
    assert (attempt, gate) == ([ENDED], [])
    assert processes.ids == {"a/gate_worker_1.pytest/1"}, "ended processes are forgotten"


def test_a_second_end_and_an_unknown_process_are_ignored() -> None:
    processes = RunningProcesses()
    ends: list[Exit] = []
    processes.expect("a/worker_1/1", ends.append)
    for process in ("a/worker_1/1", "a/worker_1/1", "a/worker_1/2"):
        processes.ended(process, ENDED)
    assert ends == [ENDED]


def test_a_handler_may_start_the_next_process_under_the_same_id() -> None:
    processes = RunningProcesses()
    ends: list[Exit] = []
    processes.expect("a", lambda exit: processes.expect("a", ends.append))
    processes.ended("a", ENDED)
    assert ends == []
    processes.ended("a", ENDED)
    assert ends == [ENDED]


def test_of_simultaneous_ends_one_counts() -> None:
    # Recovery completes an attempt whose end the launcher may report at the same time.
    processes = RunningProcesses()
    names = [f"a/worker_{number}/1" for number in range(500)]
    ends: list[str] = []
    for name in names:
        processes.expect(name, lambda exit, name=name: ends.append(name))  # type: ignore[misc]
    together = threading.Barrier(4)

    def report() -> None:
        together.wait()
        for name in names:
            processes.ended(name, ENDED)

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == sorted(names)
    assert not processes.ids
