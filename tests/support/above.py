"""Finds the processes above workers: keepers, spawners, and shims."""

from orchestrator.security import process_table


def keepers(server: int) -> list[int]:
    """Return the children of a server that lead their own session, as keepers do."""
    return [pid for pid in process_table.children(server) if _session(pid) == pid]


def spawner(keeper: int) -> int | None:
    """Return the spawner, or None if it does not exist (not forked yet, or killed).

    Without a spawner, its shims are children of the keeper.
    """
    found = [pid for pid in process_table.children(keeper) if _session(pid) == keeper]
    return found[0] if found and process_table.start_ticks(found[0]) is not None else None


def shims(keeper: int) -> list[int]:
    """Return busy and idle shims, also after the spawner was killed."""
    parents = {keeper, spawner(keeper) or keeper}
    children = (pid for parent in parents for pid in process_table.children(parent))
    return [pid for pid in children if _session(pid) == pid]


def _session(pid: int) -> int:
    process = process_table.look_up(pid)
    return process.session if process is not None else 0
