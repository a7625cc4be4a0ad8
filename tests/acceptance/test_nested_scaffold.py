"""A worker creates a repository in the project: its files are landed, and its history is saved."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.embedding import copy_product, run
from tests.support.project import Project

pytestmark = pytest.mark.slow

PLAN = """\
request: Add a web application
tasks:
  - id: scaffold
    git: on
    command: |
      mkdir -p web/src && cd web && git init -q
      echo 'console.log(1)' > src/main.js && echo '# web' > README.md
      git add --all && git commit -q -m scaffold
      mkdir -p node_modules/left-pad && echo x > node_modules/left-pad/index.js
      echo 'console.log(2)' > src/main.js
"""


@pytest.mark.nightly
def test_a_nested_scaffold_lands_as_files(tmp_path: Path) -> None:
    project = Project(tmp_path.resolve() / "host").begin({"README.md": "host\n"})
    tool = copy_product(project.path) / "bin" / "orchestrator"
    (project.path / ".git" / "info" / "exclude").write_text("/orchestrator/\n/plan.yaml\n")
    (project.path / "plan.yaml").write_text(PLAN)

    done = run(tool, "run", "--plan", "plan.yaml", "--json", cwd=project.path)

    assert done.returncode == 0, done
    ended = json.loads(done.stdout)
    job = ended["job_id"]
    assert "not committed (git.never_commit): web/node_modules (1 file)" in ended["reason"]

    landed = run(tool, "land", job, "--yes", cwd=project.path)

    assert landed.returncode == 0, landed
    assert (project.path / "web" / "src" / "main.js").read_text() == "console.log(2)\n"
    assert project.files("main") == ["README.md", "web/README.md", "web/src/main.js"]
    history = f"refs/orchestrator-kept/{job}/worker_1/nested/web"
    assert project.git("log", "--format=%s", history) == "scaffold"
    assert project.git("fsck", "--no-dangling") == ""
    subprocess.run(["git", "clone", "-q", project.path, tmp_path / "clone"], check=True)
    assert (tmp_path / "clone" / "web" / "README.md").read_text() == "# web\n"
