"""Memory of the server, keeper, spawner, and shims, when idle and with many live workers."""

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import body_of
from benchmarks.options import Options
from benchmarks.processes import children, memory_of
from benchmarks.server import Client, Server, running_server, until

MIB = 1024 * 1024


def measure(options: Options) -> Findings:
    workers = options.pick(200, 8)
    with running_server(workers) as server:
        client = server.client()
        client.call("GET", "/health")
        at_rest = _figures("at rest", server)
        job_id = client.submit(body_of(["/bin/sleep", "600"], workers, workers))
        until(lambda: _count_running(client) == workers, "all workers run")
        until(lambda: _count_sleeping(server) == workers, "all workers have been started")
        busy = _figures(f"{workers} live workers", server)
        client.cancel(job_id)
    return Findings(figures=[*at_rest, *busy])


def _count_running(client: Client) -> int:
    """Return the number of workers that hold a slot."""
    return int(client.get("/stats")["slots"]["running"])


def _generations(server: Server) -> tuple[list[int], list[int], list[int]]:
    """Return the process ids of keeper and spawner, of the shims, and of the workers."""
    by_parent = children()
    keepers = list(by_parent.get(server.pid, ()))
    spawners = [child for keeper in keepers for child in by_parent.get(keeper, ())]
    shims = [child for spawner in spawners for child in by_parent.get(spawner, ())]
    workers = [child for shim in shims for child in by_parent.get(shim, ())]
    return [*keepers, *spawners], shims, workers


def _count_sleeping(server: Server) -> int:
    return len(_generations(server)[2])


def _figures(when: str, server: Server) -> list[Figure]:
    spawner, shims, _ = _generations(server)
    groups = {"server": [server.pid], "spawner": spawner, f"{len(shims)} shims": shims}
    figures = []
    for name, pids in groups.items():
        usage = memory_of(pids)
        figures.append(Figure(what=f"{when}: {name}, RSS", value=usage.rss / MIB, unit="MiB"))
        figures.append(Figure(what=f"{when}: {name}, PSS", value=usage.pss / MIB, unit="MiB"))
    return figures
