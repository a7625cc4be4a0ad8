"""Removing jobs that have ended, without a server."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.app.assembly import build
from orchestrator.config import load


def remove(
    folder: Path, environ: Mapping[str, str], root_ids: Collection[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Remove ended root jobs, and what an earlier removal left; gives each that is gone.

    With the names of refs in git that keep what is nowhere else.

    Raise WorkspaceBusy while a server runs, Conflict where a full disk keeps a job from removal.
    """
    manager = build(folder, load(folder, environ=environ, require_key=False).settings)
    manager.open()
    removal = manager.removal
    try:
        for root_id in removal.begun():
            removal.finish(root_id)
            yield root_id, removal.destroy(root_id)
        unfinished = set(manager.store.unfinished())
        for root_id in root_ids:
            if root_id in unfinished:
                continue
            removal.secure(root_id)
            if removal.begin(root_id):
                yield root_id, removal.destroy(root_id)
    finally:
        manager.close()
