"""Assembles the parts that run gates."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from orchestrator.composition.settings.repository import repository_of
from orchestrator.composition.settings.settings_conversion import launch_settings_of, masked
from orchestrator.config import Settings, load
from orchestrator.config.fields.choices import GatesByDefault
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.repository.repository import Repository, Tools
from orchestrator.engine.gates.baseline_runs import BaselineRuns
from orchestrator.engine.gates.baseline_store import FOLDER as BASE_RESULTS
from orchestrator.engine.gates.baseline_store import BaselineStore
from orchestrator.engine.gates.gate_process import GateProcesses, environment_of
from orchestrator.engine.gates.gate_runner import GateRunner
from orchestrator.engine.runtime.background_pool import BackgroundPool
from orchestrator.engine.runtime.launch_settings import LaunchSettings
from orchestrator.engine.runtime.lazy_object import lazy
from orchestrator.engine.runtime.running_processes import RunningProcesses
from orchestrator.engine.runtime.supervisor_messages import Post
from orchestrator.engine.submission.agents_and_gates import GatePlans
from orchestrator.engine.worktrees.setup_commands import Setup
from orchestrator.gates import PROBE
from orchestrator.schemas import answers
from orchestrator.workspace import JobDirectories

if TYPE_CHECKING:
    from orchestrator.gates import GateReports, GateResolver, SecretScanner


def gate_plans_of(repository: Repository, settings: Settings) -> GatePlans:
    finder = lazy(lambda: _resolver(settings))
    return GatePlans(repository, finder, is_on=settings.gates.run is GatesByDefault.AUTO)


# The functions below import ``orchestrator.gates`` when they are called. The package has many
# parsers, which a server does not need before the first gate runs.


def _resolver(settings: Settings) -> "GateResolver":
    from orchestrator.gates import GateResolver

    gates = settings.gates
    return GateResolver(
        gates.timeout,
        tests_may_change=gates.tests_may_change,
        tests_may_vanish=gates.tests_may_vanish,
    )


def _reports() -> "GateReports":
    from orchestrator.gates import GateReports

    return GateReports()


def _secrets() -> "SecretScanner":
    from orchestrator.gates import SecretScanner

    return SecretScanner()


def gates_here(folder: Path, environ: Mapping[str, str]) -> Sequence[Mapping[str, object]]:
    """Return the default gates of a job in the project of the home ``folder``. Run no gate.

    Raise InvalidRequest if the repository's file that defines gates is invalid.
    """
    settings = load(folder, environ=environ).settings
    if settings.gates.run is GatesByDefault.OFF:
        return []
    repository = repository_of(folder, settings, settings.orchestrator.workspace_root)
    path = environment_of(launch_settings_of(folder, settings))["PATH"]
    return [
        {
            **answers.gates.job_gate_answer(gate).model_dump(mode="json"),
            "available": not gate.program or which(gate.program, path=path) is not None,
        }
        for gate in gate_plans_of(repository, settings).of_checkout()
    ]


def why_no_gates(folder: Path, environ: Mapping[str, str]) -> str:
    """Return why ``gates_here`` returned no gates, and what to do."""
    from orchestrator.core.gates.gate import GATES_FILE

    settings = load(folder, environ=environ).settings
    if settings.gates.run is GatesByDefault.OFF:
        return "gates.run is off; to use gates, set gates.run to auto in config.yaml"
    repository = repository_of(folder, settings, settings.orchestrator.workspace_root)
    if not repository.base().commit:
        return "the project has no commit in git; commit its files"
    return (
        f"the list in {GATES_FILE} is empty; add gates, or delete the file; then commit the change"
    )


def gate_runner_of(
    launcher: Launcher,
    processes: RunningProcesses,
    repository: Repository,
    workspace: JobDirectories,
    launch_settings: LaunchSettings,
    settings: Settings,
    post: Post,
) -> GateRunner:
    background = BackgroundPool()
    setup = Setup(commands=settings.git.setup, timeout=settings.git.setup_timeout)

    def tools(directory: str, programs: str, search: str) -> Tools:
        return repository.tools(directory, programs, search, trusted=True)

    reports = lazy(_reports)
    runs = GateProcesses(
        launcher, processes, workspace, launch_settings, reports, background, tools, PROBE, setup
    )
    folder = workspace.root / BASE_RESULTS
    results = BaselineStore(
        folder,
        launch_settings.project_root,
        partial(environment_of, launch_settings),
        setup.commands,
    )
    baselines = BaselineRuns(runs, repository, workspace, results, background)
    mask = partial(masked, launch_settings.secrets)
    finder = lazy(lambda: _resolver(settings))
    return GateRunner(runs, baselines, repository, finder, lazy(_secrets), mask, background, post)
