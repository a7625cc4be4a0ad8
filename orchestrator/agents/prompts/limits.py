"""The remaining limits and quotas of a worker, as text."""

from collections.abc import Iterator, Mapping

from orchestrator.core.ports import Assignment

#: Names of the remaining quota in a prompt, by the keys of the API's ``left``.
_LEFT = {
    "child_jobs": "child jobs that you may start",
    "child_jobs_in_root": "child jobs that all workers together may start",
    "workers": "workers that all jobs together may still start",
    "steps": "steps that your job may still use",
    "tokens": "tokens that your job may still use",
    "cost_usd": "US dollars that your job may still spend",
}


def limits(assignment: Assignment) -> list[str]:
    """Return one line for each limit. The time always has a line."""
    return [*_own(assignment), *_left(assignment.left)]


def _own(assignment: Assignment) -> Iterator[str]:
    task = assignment.task
    seconds = task.timeout or assignment.job.config.default_timeout
    yield f"{seconds:g} seconds for this attempt, except while child jobs run"
    for amount, unit in (
        (task.max_steps, "steps"),
        (task.max_tokens, "tokens"),
        (task.max_cost_usd, "US dollars"),
    ):
        if amount is not None:
            yield f"{amount:g} {unit} for your task, all attempts together"


def _left(left: Mapping[str, object]) -> Iterator[str]:
    recursive = bool(left.get("depth"))
    if recursive:
        yield f"{left['depth']} more levels of child jobs below yours"
    for name, words in _LEFT.items():
        if name in left and (recursive or name in ("steps", "tokens", "cost_usd")):
            yield f"{left[name]} {words}"
    if "wall_seconds" in left:
        yield f"{left['wall_seconds']} seconds until your job ends"
