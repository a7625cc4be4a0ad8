"""Changes that a gate itself makes in files are not merged."""

import json

import pytest

from tests.integration.engine.gates.conftest import MakeProject, gates, reasons
from tests.support.project import edit

UNUSED = "printf 'import os\\n\\nx = 1\\n' > app.py"
FIX = "sed -i '/^import os/d' *.py"


def test_ruff_does_not_repair_what_it_is_to_judge(make_project: MakeProject) -> None:
    config = "[tool.ruff]\nfix = true\nunsafe-fixes = true\n"
    site, _ = make_project({"app.py": "x = 1\n", "pyproject.toml": config})

    ended = site.run("x", [edit(UNUSED)])

    assert ended["status"] == "failed", ended
    assert reasons(ended)[0] == "gate ruff failed: app.py:1: F401 `os` imported but unused"


def test_a_gate_that_repairs_tracked_files_has_findings(make_project: MakeProject) -> None:
    site, _ = make_project({"app.py": "x = 1\n"})

    ended = site.run("x", [edit(UNUSED)], gates=[{"name": "fix", "run": FIX}])

    assert ended["status"] == "failed", ended
    reason = (
        "gate fix failed: app.py: the gate changed this tracked file; use a command that only "
        "checks files"
    )
    assert reasons(ended) == [reason]


def test_what_a_gate_repairs_at_the_base_as_well_does_not_count(make_project: MakeProject) -> None:
    site, _ = make_project(
        {"app.py": "import os\n\nx = 1\n", "old.py": "import os\n", "log.txt": ""}
    )
    fix = {"name": "fix", "run": f"{FIX}; date +%N > log.txt"}

    same = site.run("x", [edit("echo '# a note' >> app.py")], gates=[fix])
    more = site.run(
        "y", [edit("sed -i '1i x = 2' app.py; echo 'import os' >> app.py")], gates=[fix]
    )

    assert same["status"] == "completed", same
    assert gates(site, same)["fix"]["status"] == "passed"
    assert reasons(more)[0].startswith("gate fix failed: app.py: the gate changed this")


@pytest.mark.needs("npm")
def test_a_script_of_npm_that_repairs_has_findings(make_project: MakeProject) -> None:
    package = json.dumps({"name": "x", "scripts": {"lint": "sed -i 's/ *$//' one.js"}})
    site, _ = make_project({"package.json": package, "one.js": "module.exports = 1\n"})

    ended = site.run("x", [edit("printf 'module.exports = 2   \\n' > one.js")])

    assert reasons(ended)[0].startswith("gate npm-lint failed: one.js: the gate changed this")
