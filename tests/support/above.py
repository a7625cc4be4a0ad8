"""The processes above workers: keepers, spawners, shims; found as the children of one another."""

from orchestrator.launchers.process import proc


def keepers(server: int) -> list[int]:
    """The children of a server that have a session of their own, as its keepers do."""
    return [pid for pid in proc.children(server) if _session(pid) == pid]


def spawner(keeper: int) -> int | None:
    """None before it has been forked, and when it has been killed: shims are there instead."""
    found = [pid for pid in proc.children(keeper) if _session(pid) == keeper]
    return found[0] if found and proc.start_ticks(found[0]) is not None else None


def shims(keeper: int) -> list[int]:
    """Those that are at work or idle, also when the spawner has been killed."""
    parents = {keeper, spawner(keeper) or keeper}
    children = (pid for parent in parents for pid in proc.children(parent))
    return [pid for pid in children if _session(pid) == pid]


def _session(pid: int) -> int:
    process = proc.look_up(pid)
    return process.session if process is not None else 0
