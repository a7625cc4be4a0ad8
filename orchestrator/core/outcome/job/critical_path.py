"""The critical path of a job: the chain of dependent tasks that took the longest. Pure."""

from collections.abc import Mapping, Sequence


def critical_path(
    needed: Mapping[str, Sequence[str]], seconds: Mapping[str, float]
) -> Sequence[str]:
    """Return the tasks of the longest chain, in order; ``needed``: tasks that each task needs."""
    total: dict[str, float] = {}
    before: dict[str, str] = {}
    for task in _ordered(needed):
        earlier = [each for each in needed[task] if each in total]
        latest = max(earlier, key=total.__getitem__, default="")
        total[task] = seconds.get(task, 0.0) + total.get(latest, 0.0)
        before[task] = latest
    chain: list[str] = []
    task = max(total, key=total.__getitem__, default="")
    while task:
        chain.append(task)
        task = before[task]
    return chain[::-1]


def _ordered(needed: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the tasks so that each follows the tasks that it needs."""
    waiting = {task: sum(each in needed for each in names) for task, names in needed.items()}
    needed_by: dict[str, list[str]] = {}
    for task, names in needed.items():
        for each in names:
            needed_by.setdefault(each, []).append(task)
    ready = [task for task, number in waiting.items() if not number]
    for task in ready:
        for each in needed_by.get(task, ()):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
    return ready
