"""The critical path of a job: the chain of dependent tasks that took the longest. Pure."""

from collections.abc import Iterator, Sequence


def critical_path(needed: Sequence[Sequence[int]], seconds: Sequence[float]) -> Sequence[int]:
    """Return the longest chain, in order. ``needed[i]``: the dependencies of task ``i``."""
    total = [0.0] * len(needed)
    before = [-1] * len(needed)
    for task in _ordered(needed):
        for each in needed[task]:
            if before[task] < 0 or total[each] > total[before[task]]:
                before[task] = each
        total[task] = seconds[task] + (total[before[task]] if before[task] >= 0 else 0.0)
    chain = []
    task = max(range(len(total)), key=total.__getitem__, default=-1)
    while task >= 0:
        chain.append(task)
        task = before[task]
    return chain[::-1]


def _ordered(needed: Sequence[Sequence[int]]) -> Iterator[int]:
    waiting = [len(names) for names in needed]
    needed_by: dict[int, list[int]] = {}
    for task, names in enumerate(needed):
        for each in names:
            needed_by.setdefault(each, []).append(task)
    ready = [task for task, number in enumerate(waiting) if not number]
    for task in ready:
        yield task
        for each in needed_by.get(task, ()):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
