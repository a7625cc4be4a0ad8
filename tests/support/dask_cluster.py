"""Dask for tests: a scheduler, workers, and a program that scales them, as processes with TLS."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port

dask: Any = pytest.importorskip("dask")
distributed: Any = pytest.importorskip("distributed")

_OWNER = """
import json, sys, time
sys.modules["orchestrator"] = None  # The scheduler works without this product.
from distributed import LocalCluster, Security
if __name__ == "__main__":
    places = {f"tls_{name}": path for name, path in json.loads(sys.argv[2]).items()}
    for name in ("cert", "key"):
        places[f"tls_client_{name}"] = places[f"tls_worker_{name}"]
    security = Security(require_encryption=True, **places)
    cluster = LocalCluster(
        n_workers=0, threads_per_worker=2, memory_limit=0, host="127.0.0.1", protocol="tls://",
        scheduler_port=int(sys.argv[1]), dashboard_address=None, security=security,
    )
    cluster.adapt(minimum=0, maximum=2, interval="200ms", wait_count=2)
    time.sleep(3600)
"""


class DaskCluster:
    """A scheduler and workers, each a process whose output is in a file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self.address = f"tls://127.0.0.1:{self.port}"
        security = distributed.Security.temporary()
        places = {}
        for name in ("ca_file", "scheduler_cert", "scheduler_key", "worker_cert", "worker_key"):
            path = directory / f"{name}.pem"
            path.write_text(getattr(security, f"tls_{name}"))
            path.chmod(0o600)
            places[name] = str(path)
        tls = "distributed.comm.tls."
        self._config = dask.config.set(
            {
                f"{tls}ca-file": places["ca_file"],
                f"{tls}client.cert": places["worker_cert"],
                f"{tls}client.key": places["worker_key"],
            }
        )
        self._environ = {**os.environ, "XDG_STATE_HOME": str(directory / "state")}
        self._tls = ["--tls-ca-file", places["ca_file"]]
        self._places = places
        self.processes: list[subprocess.Popen[bytes]] = []

    def client_variables(self) -> dict[str, str]:
        """Return the variables with which Dask's client in another process finds its files."""
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{tls}CA_FILE": self._places["ca_file"],
            f"{tls}CLIENT__CERT": self._places["worker_cert"],
            f"{tls}CLIENT__KEY": self._places["worker_key"],
        }

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        certificate = [
            "--tls-cert", self._places[f"{kind}_cert"], "--tls-key", self._places[f"{kind}_key"],
        ]  # fmt: skip
        argv = [
            sys.executable, "-m", "distributed.cli.dask_" + kind, *options, *self._tls,
            *certificate, "--dashboard-address", "127.0.0.1:0",
        ]  # fmt: skip
        with (self._directory / f"{kind}.log").open("ab") as log:
            found = subprocess.Popen(
                argv, cwd=self._directory, env=self._environ, stdout=log, stderr=log
            )
        self.processes.append(found)
        return found

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        return self._start(
            "scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", str(self.port)
        )

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(
            "worker", self.address, "--no-nanny", "--nthreads", "2", "--memory-limit", "0",
            "--name", name, "--host", "127.0.0.1",
        )  # fmt: skip

    def start_owner(self) -> subprocess.Popen[bytes]:
        """Start a program that creates a cluster without workers, and lets Dask scale it."""
        with (self._directory / "owner.log").open("ab") as log:
            found = subprocess.Popen(
                [sys.executable, "-c", _OWNER, str(self.port), json.dumps(self._places)],
                cwd=self._directory, env=self._environ, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(found)
        return found

    def end(self) -> None:
        for each in reversed(self.processes):
            each.kill()
            each.wait()
        self._config.__exit__(None, None, None)


def pids_with(text: str) -> list[int]:
    """Return the pids of processes whose command contains ``text``."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(int(each.parent.name))
    return found
