"""The modules that a server loads before it accepts calls. Other modules load on first use."""

import os
import subprocess
import sys
from pathlib import Path

#: Modules that a server needs only for some jobs and calls.
_LATER = (
    "alembic",
    "orchestrator.api.mcp.tool_execution",
    "orchestrator.api.openapi.document",
    "orchestrator.api.tasks_api.task_calls",
    "orchestrator.engine.service.triggers.job_template",
    "orchestrator.engine.service.triggers.trigger",
    "orchestrator.gates.detect",
    "orchestrator.gates.parsers",
    "orchestrator.git.repository",
    "orchestrator.launchers.cluster",
    "orchestrator.schemas.agent_output",
    *(f"orchestrator.schemas.answers.{name}" for name in ("job", "status", "workers")),
    "orchestrator.schemas.requests_with_answers.locks",
    "orchestrator.schemas.requests_with_answers.merge_and_landing",
    *(
        f"orchestrator.schemas.requests.{name}"
        for name in ("job", "job_control", "messages_and_feedback")
    ),
    "orchestrator.schemas.requests_with_answers.tasks_api",
    "prometheus_client",
    "requests",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
)
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from orchestrator.cli.server.server_process import serve

def ready(*_):
    Path("loaded").write_text("\\n".join(sys.modules))
    os.kill(os.getpid(), signal.SIGTERM)

serve(Path.cwd(), flags={"api.port": "0"}, on_ready=ready)
"""


def test_a_server_starts_without_what_only_some_jobs_and_calls_need(tmp_path: Path) -> None:
    folder = Path(__file__).parents[4]
    environ = {name: text for name, text in os.environ.items() if "ORCHESTRATOR_" not in name}
    project = tmp_path / "project"
    project.mkdir()

    subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=tmp_path,
        env={
            **environ,
            "PYTHONPATH": str(folder),
            "ORCHESTRATOR_API__API_KEY": "0a1b2c3d4e5f60718293",
            "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(project),
        },
        check=True,
        capture_output=True,
        timeout=120,
    )

    loaded = (tmp_path / "loaded").read_text().split()
    assert [each for each in loaded if each.startswith(_LATER)] == []
