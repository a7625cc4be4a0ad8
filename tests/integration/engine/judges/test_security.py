"""Security gates, with the tools where they are installed."""

import json
from shutil import which

import pytest

from tests.integration.engine.judges.conftest import MakeProject, gates, reasons
from tests.project import edit

SHELL = "import subprocess\n\nsubprocess.call('x', shell=True)\n"
RULES = """\
rules:
- id: no-shell
  pattern: subprocess.call(..., shell=True)
  message: no shell
  languages: [python]
  severity: ERROR
"""


@pytest.mark.skipif(not which("bandit"), reason="bandit is not installed")
def test_only_new_findings_of_bandit_count(made: MakeProject) -> None:
    site, _ = made({"old.py": SHELL, "pyproject.toml": "[tool.bandit]\n"})

    same = site.run("x", [edit("sed -i '1i # moved down' old.py")])
    new = site.run("y", [edit("cp old.py new.py")])

    assert same["status"] == "completed", same
    assert gates(site, same)["bandit"]["status"] == "known"
    assert reasons(new)[0].startswith("gate bandit failed: new.py:"), new


@pytest.mark.skipif(not which("semgrep"), reason="semgrep is not installed")
def test_local_rules_of_semgrep_judge(made: MakeProject) -> None:
    site, _ = made({"app.py": "x = 1\n", ".semgrep.yml": RULES})

    ended = site.run("x", [edit(f"cat > app.py <<'END'\n{SHELL}END\n")])

    assert "no shell" in reasons(ended)[0], ended


@pytest.mark.skipif(not which("npm"), reason="npm is not installed")
def test_an_audit_without_an_answer_did_not_run(made: MakeProject) -> None:
    package = {"name": "x", "version": "1.0.0"}
    nowhere = "audit-level=high\nregistry=http://127.0.0.1:9\nfetch-retries=0\n"
    lock = {**package, "lockfileVersion": 3, "packages": {"": package}}
    site, _ = made(
        {
            "package.json": json.dumps(package),
            "package-lock.json": json.dumps(lock),
            ".npmrc": nowhere,
        }
    )
    needs = {**lock, "packages": {"": package, "node_modules/a": {"version": "1.0.0"}}}

    ended = site.run("x", [edit(f"echo '{json.dumps(needs)}' > package-lock.json")])

    found = gates(site, ended)["npm-audit"]
    assert (found["outcome"], found["cause"]) == ("did_not_run", "no_network"), found
