"""The use cases without a server: for commands that work with the server up or down."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.app.assembly import build
from orchestrator.config import load
from orchestrator.core.model.submission import Caller, Scope
from orchestrator.engine.service.service import Service

#: Whoever may read the workspace.
OWNER = Caller(name="command line", scopes=frozenset({Scope.ADMIN}))


@contextmanager
def local_service(folder: Path, environ: Mapping[str, str]) -> Iterator[tuple[Service, Caller]]:
    """With the workspace locked; nothing is started. Raise WorkspaceBusy while a server runs."""
    manager = build(folder, load(folder, environ=environ, require_key=False).settings)
    manager.open()
    try:
        yield manager.service, OWNER
        manager.reporting.write()
    finally:
        manager.close()
