"""Dask.distributed as a peer; see the package.

    benchmarks/.venv/bin/python -P -m queues.dask_peer DIRECTORY

A scheduler and four worker processes with one thread each. Results stay in memory.
"""

import sys
from collections.abc import Sequence

# mypy: disable-error-code="import-untyped, import-not-found, unused-ignore"
from distributed import Client, LocalCluster
from queues.work import SLOTS, run_true, serve


def main(directory: str) -> None:
    cluster = LocalCluster(
        n_workers=SLOTS,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        local_directory=directory,
    )
    with cluster, Client(cluster) as client:

        def run_all(paths: Sequence[str]) -> None:
            client.gather(client.map(run_true, paths, pure=False))

        serve(run_all)


if __name__ == "__main__":
    main(*sys.argv[1:])
