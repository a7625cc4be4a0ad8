"""Measures the time and memory that the product adds to one run of a tool, with a stub model API.

    ORCHESTRATOR_TEST_TOOLS=.agents-tools .venv/bin/python -m tests.agents.real.overhead [AGENT...]

Prints the median seconds of one trivial turn, bare and as a worker. Also prints the memory (PSS) of
the product's processes: shim, driver, and MCP server.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.agents.ai_tools.commands import call_for
from orchestrator.agents.ai_tools.invocation.call import CallInputs
from orchestrator.agents.driver_process.main import environment, prepare_files
from orchestrator.core.model.known_agents import known
from tests.agents.model_api import ModelApi, Script
from tests.agents.real import scripts
from tests.agents.real.conftest import a_site, variables
from tests.agents.real.site import Site
from tests.agents.real.tools import LOOPS, MODELS, TOOLS, installed
from tests.integration.site import until, worker_processes

RUNS = 5
MIB = 1024 * 1024


def main() -> None:
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    with ModelApi() as api, tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        project.mkdir()
        with a_site(api, project) as site:
            for agent in sys.argv[1:] or (*TOOLS, *LOOPS):
                report(site, agent, project)


def report(site: Site, agent: str, project: Path) -> None:
    """Print the figures.

    The runs alternate, so that other load on the machine affects all of them equally.
    """
    ways = {
        "bare": lambda: bare(site, agent, project),
        "worker": lambda: worker(site, agent, enable_recursion=False),
        "worker that may start child jobs": lambda: worker(site, agent, enable_recursion=True),
    }
    if agent not in TOOLS:
        del ways["bare"]
    for way in ways.values():  # the first run creates files that later runs share
        way()
    took = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            took[name].append(way())
    seconds = ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in took.items())
    print(f"{agent}: {seconds}; ours {ours(site, agent) / MIB:.0f} MiB", flush=True)


def bare(site: Site, agent: str, project: Path) -> float:
    """Run the tool without the driver and the product's MCP server. Return the seconds."""
    shared = next(project.glob("*/workspace")) / "bare"
    # A new directory for the configuration, as for each attempt.
    control = shared / f"{agent}-{time.monotonic_ns()}"
    call = call_for(agent)(call_inputs(site.api, agent, control, shared, project))
    prepare_files(call)
    variables_of_call = {**environment(call), **known(agent).env, **variables(site.api, project)}
    variables_of_call |= {name: value for name, value in call.env.items() if value}
    began = time.monotonic()
    subprocess.run(
        call.argv,
        input=b"Do it.",
        env=variables_of_call,
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


def call_inputs(
    api: ModelApi, agent: str, control: Path, shared: Path, project: Path
) -> CallInputs:
    return CallInputs(
        command=(str(installed(agent)),),
        model=MODELS.get(agent, ""),
        control=control,
        shared=shared,
        directory=project,
        home=project,
        environ={**os.environ, **variables(api, project)},
        root=os.geteuid() == 0,
    )


def worker(site: Site, agent: str, **config: bool) -> float:
    job = site.run(agent, "trivial", Script.failing(), config=config)
    return float(site.only(job)["seconds"])


def ours(site: Site, agent: str) -> int:
    """Return the bytes of the product's processes while a tool of the agent runs."""
    job_id = site.submit(agent, "hanging", scripts.hanging())
    until(lambda: site.begun(job_id), "a command of the agent runs", 60)
    found = sum(pss(pid) for pid in worker_processes(job_id) if is_ours(pid))
    site.client.cancel(job_id)
    site.wait(job_id)
    return found


def is_ours(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"python" in words[0] and any(b"orchestrator" in word for word in words)


def pss(pid: int) -> int:
    """Return a process's proportional share of memory (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
