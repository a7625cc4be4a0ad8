"""Job managers with real workers, stores, and HTTP servers."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import REPOSITORY, InProcess, ServerProcess
from tests.support.programs import skip_or_fail
from tests.support.project import Project, agents

MakeSite = Callable[..., InProcess]
MakeServer = Callable[..., ServerProcess]
MakeCrashing = Callable[..., tuple[FaultSite, Project]]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Create job managers in this process. Keyword arguments are sections of the settings."""
    made: list[InProcess] = []

    def make(**changes: dict[str, Any]) -> InProcess:
        made.append(InProcess(tmp_path / f"site_{len(made)}", changes))
        return made[-1]

    yield make
    for site in made:
        site.stop()


@pytest.fixture
def site(make_site: MakeSite) -> InProcess:
    return make_site()


@pytest.fixture
def make_server(tmp_path: Path, zygote: Zygote) -> Iterator[MakeServer]:
    """Start server processes, and stop them after the test."""
    made: list[ServerProcess] = []

    def make(**changes: dict[str, Any]) -> ServerProcess:
        made.append(ServerProcess(tmp_path / f"server_{len(made)}", changes, zygote))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def crashing(zygote: Zygote, tmp_path: Path) -> Iterator[MakeCrashing]:
    """Create servers that crash at the named failpoints, and a project that is a repository."""
    sites: list[FaultSite] = []

    def make(
        *crashes: str, files: Mapping[str, str], **changes: dict[str, Any]
    ) -> tuple[FaultSite, Project]:
        project = Project(tmp_path / "project").begin(files)
        root = {"project_root": str(project.path)}
        known = {**agents(tmp_path), **changes.pop("agents", {})}
        site = FaultSite(
            tmp_path / "site", zygote, crashes, orchestrator=root, agents=known, **changes
        )
        sites.append(site)
        return site, project

    yield make
    for site in sites:
        site.end()


@pytest.fixture
def spawning() -> None:
    """Skip tests whose workers call ``orchestrator spawn`` if the command is not installed."""
    if (REPOSITORY / ".venv" / "bin" / "python").exists():
        return
    reason = "bin/orchestrator needs .venv in the checkout: run ./install.sh"
    skip_or_fail(reason)


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    """A file to which workers append their steps, in order."""
    path = tmp_path / "effects"
    path.touch()
    return path
