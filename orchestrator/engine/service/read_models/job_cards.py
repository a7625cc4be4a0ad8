"""Job cards: the jobs of a subtree, with their counts."""

from collections.abc import Mapping, Sequence

from orchestrator.core.ports.listings import StatusCount


def below(job_id: str, parents: Mapping[str, str | None]) -> set[str]:
    """Return a job and its descendants; ``parents`` has the parent of every job of the tree."""
    children: dict[str | None, list[str]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found = [job_id]
    for each in found:
        found += children.get(each, ())
    return set(found)


def of_jobs(counts: Sequence[StatusCount], job_ids: set[str]) -> Sequence[StatusCount]:
    return [each for each in counts if each.job_id in job_ids]
