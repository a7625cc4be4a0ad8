"""Putting together what runs gates."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import which

from orchestrator.app.from_settings import masked, surroundings
from orchestrator.config import Settings, load, project_root
from orchestrator.config.choices import GatesByDefault
from orchestrator.core.launching import Launcher
from orchestrator.core.repository import Repository
from orchestrator.engine.base_results import FOLDER as BASE_RESULTS
from orchestrator.engine.base_results import BaseResults
from orchestrator.engine.baselines import Baselines
from orchestrator.engine.beside import Beside
from orchestrator.engine.checks import Checks
from orchestrator.engine.dispatch import Surroundings
from orchestrator.engine.gate_plans import GatePlans
from orchestrator.engine.gate_runs import GateRuns, environment_of
from orchestrator.engine.setup import Setup
from orchestrator.gates import PROBE, Finder, Reports, Secrets
from orchestrator.git import GitRepository
from orchestrator.schemas.gate_answers import job_gate_answer
from orchestrator.workspace import Workspace


def gate_plans_of(repository: Repository, settings: Settings) -> GatePlans:
    gates = settings.gates
    finder = Finder(
        gates.timeout,
        tests_may_change=gates.tests_may_change,
        tests_may_vanish=gates.tests_may_vanish,
    )
    return GatePlans(repository, finder, is_on=gates.run is GatesByDefault.AUTO)


def gates_here(folder: Path, environ: Mapping[str, str]) -> Sequence[Mapping[str, object]]:
    """What would be run for a job of this folder's project that does not say; runs nothing.

    Raise InvalidRequest where the repository's own file is wrong.
    """
    settings = load(folder, environ=environ, require_key=False).settings
    if settings.gates.run is GatesByDefault.OFF:
        return []
    workspace = settings.orchestrator.workspace_root.resolve()
    project = project_root(settings, folder).resolve()
    repository = GitRepository(project, workspace, folder.resolve())
    path = environment_of(surroundings(folder, settings))["PATH"]
    return [
        {
            **job_gate_answer(gate).model_dump(mode="json"),
            "available": not gate.program or which(gate.program, path=path) is not None,
        }
        for gate in gate_plans_of(repository, settings).of_commit()
    ]


def checks_of(
    launcher: Launcher,
    repository: Repository,
    workspace: Workspace,
    around: Surroundings,
    settings: Settings,
) -> Checks:
    beside = Beside()
    setup = Setup(commands=settings.git.setup, timeout=settings.git.setup_timeout)
    tools = partial(repository.tools, trusted=True)
    runs = GateRuns(launcher, workspace, around, Reports(), beside, tools, PROBE, setup)
    folder = workspace.root / BASE_RESULTS
    results = BaseResults(
        folder, around.project_root, partial(environment_of, around), setup.commands
    )
    baselines = Baselines(runs, repository, workspace, results, beside)
    clean = partial(masked, around.secrets)
    return Checks(runs, baselines, repository, Secrets(), clean, beside)
