"""Security gates with the real tools.

Advisories come from a server on this machine. All other calls of the tools go to a proxy that
rejects them.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.engine.gates.conftest import MakeProject, gates, reasons
from tests.support.project import edit

SHELL = "import subprocess\n\nsubprocess.call('x', shell=True)\n"
RULES = """\
rules:
- id: no-shell
  pattern: subprocess.call(..., shell=True)
  message: no shell
  languages: [python]
  severity: ERROR
"""


@pytest.mark.nightly
@pytest.mark.needs("bandit")
def test_only_new_findings_of_bandit_count(make_project: MakeProject) -> None:
    site, _ = make_project({"old.py": SHELL, "pyproject.toml": "[tool.bandit]\n"})

    same = site.run("x", [edit("sed -i '1i # moved down' old.py")])
    new = site.run("y", [edit("cp old.py new.py")])

    assert same["status"] == "completed", same
    assert gates(site, same)["bandit"]["status"] == "known"
    assert reasons(new)[0].startswith("gate bandit failed: new.py:"), new


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.needs("semgrep")
def test_only_new_findings_of_local_rules_of_semgrep_count(make_project: MakeProject) -> None:
    site, _ = make_project({"old.py": SHELL, ".semgrep.yml": RULES})

    # The tool takes seconds to start, and runs on the base and on the changes.
    script = "sed -i '1i # moved down' old.py; cp old.py new.py"
    new = site.wait(site.submit("x", [edit(script)]), within=280)

    [reason] = reasons(new)
    assert reason.startswith("gate semgrep failed: new.py:"), new
    assert "no shell" in reason and "old.py" not in reason


# -- advisories ------------------------------------------------------------------------------------

LODASH = {
    "id": 1106913,
    "url": "https://github.com/advisories/GHSA-35jh-r3h4-6jhm",
    "title": "Command Injection in lodash",
    "severity": "high",
    "vulnerable_versions": "<4.17.21",
    "cwe": ["CWE-77"],
    "cvss": {"score": 7.2, "vectorString": None},
}
FLASK = {
    "id": "PYSEC-2018-66",
    "modified": "2018-08-20T19:31:00Z",
    "summary": "denial of service",
    "affected": [{"package": {"name": "flask", "ecosystem": "PyPI"}, "versions": ["0.5", "0.6"]}],
}


class Advisories(BaseHTTPRequestHandler):
    """A server like npm's registry and OSV, with advisories on lodash and Flask."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        query = json.loads(body)
        if self.path.endswith("/advisories/bulk"):
            self._answer({"lodash": [LODASH]} if "lodash" in query else {})
        else:
            self._answer({"vulns": [FLASK]} if query["package"]["name"] == "flask" else {})

    def do_GET(self) -> None:
        self.send_error(404)

    def _answer(self, found: object) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def advisories() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def npm_files(registry: str, **needs: str) -> dict[str, str]:
    package = {"name": "x", "version": "1.0.0", "dependencies": needs}
    there = {f"node_modules/{name}": {"version": version} for name, version in needs.items()}
    lock = {**package, "lockfileVersion": 3, "packages": {"": package, **there}}
    return {
        "package.json": json.dumps(package),
        "package-lock.json": json.dumps(lock),
        ".npmrc": f"audit-level=high\nregistry={registry}\nfetch-retries=0\n",
    }


def write_command(files: dict[str, str]) -> str:
    """Return a script that writes these files."""
    return "\n".join(f"cat > {name} <<'END'\n{text}\nEND" for name, text in files.items())


@pytest.mark.nightly
@pytest.mark.needs("npm")
def test_only_new_advisories_of_npm_count(make_project: MakeProject, advisories: str) -> None:
    known = npm_files(advisories, lodash="4.0.0")
    site, project = make_project({**known, "a.js": ""})

    same = site.run("x", [edit(write_command(npm_files(advisories, lodash="4.0.0", more="1.0.0")))])
    project.commit(npm_files(advisories), "without lodash")
    new = site.run("y", [edit(write_command(known))])

    assert gates(site, same)["npm-audit"]["status"] == "known", gates(site, same)
    assert reasons(new)[0].startswith("gate npm-audit failed: lodash: Command Injection"), new


@pytest.mark.nightly
@pytest.mark.needs("npm")
def test_an_audit_without_an_answer_did_not_run(make_project: MakeProject) -> None:
    site, _ = make_project(npm_files("http://127.0.0.1:9"))

    ended = site.run("x", [edit(write_command(npm_files("http://127.0.0.1:9", lodash="4.0.0")))])

    found = gates(site, ended)["npm-audit"]
    assert (found["outcome"], found["cause"]) == ("did_not_run", "no_network"), found


@pytest.mark.nightly
@pytest.mark.needs("pip-audit")
def test_only_new_advisories_of_pip_audit_count(make_project: MakeProject, advisories: str) -> None:
    service = f"--no-deps --disable-pip -s osv --osv-url {advisories}/v1/query"
    gate = {
        "name": "audit",
        "run": f'pip-audit -r requirements.txt {service} -f json -o "$ORCHESTRATOR_GATE_REPORT"',
        "report": "pip-audit",
    }
    site, project = make_project({"requirements.txt": "flask==0.5\n"})

    same = site.run("x", [edit("echo idna==3.7 >> requirements.txt")], gates=[gate])
    project.commit({"requirements.txt": "idna==3.7\n"}, "without Flask")
    new = site.run("y", [edit("echo flask==0.5 >> requirements.txt")], gates=[gate])

    assert gates(site, same)["audit"]["status"] == "known", gates(site, same)
    assert reasons(new)[0] == "gate audit failed: flask 0.5: PYSEC-2018-66", new


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block the network, and the retries of pip."""
    settings = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[global]\nretries = 0\ntimeout = 2\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")


LOCK = """\
version = 3

[[package]]
name = "x"
version = "0.1.0"
"""
CRATE = {
    "Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n',
    "Cargo.lock": LOCK,
    "src/lib.rs": "",
    ".cargo/audit.toml": '[database]\nurl = "http://127.0.0.1:9/"\n',
}
MODULE = {
    "go.mod": "module x\n\ngo 1.21\n",
    "main.go": "package main\n\nfunc main() {}\n",
    "Makefile": "audit:\n\tgovulncheck ./...\n",
}
PYTHON = {"requirements.txt": "flask==0.5\n", "Makefile": "audit:\n\tpip-audit\n"}
SLOW = ("pip-audit",)
CASES = {
    "pip-audit": (PYTHON, "echo idna==3.7 >> requirements.txt"),
    "cargo-audit": (CRATE, "echo >> Cargo.lock"),
    "govulncheck": (MODULE, "echo >> main.go"),
}


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "tool",
    [
        # pip-audit takes almost a minute for its finding; npm audit runs by day.
        pytest.param(
            name,
            marks=[pytest.mark.needs(name), *([pytest.mark.nightly] if name in SLOW else [])],
        )
        for name in CASES
    ],
)
def test_a_tool_that_needs_a_network_and_has_none_did_not_run(
    tool: str, make_project: MakeProject
) -> None:
    files, change = CASES[tool]
    site, _ = make_project(files)

    # pip-audit creates and fills environments.
    ended = site.wait(site.submit("x", [edit(change)]), within=380)

    found = gates(site, ended)[tool]
    assert (found["outcome"], found["cause"]) == ("did_not_run", "no_network"), found


@pytest.mark.needs("gitleaks")
def test_only_new_findings_of_gitleaks_count(make_project: MakeProject) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"  # orchestrator: allow-secret
    rules = "[extend]\nuseDefault = true\n"
    site, _ = make_project({"old.py": f"token = '{token}'\n", ".gitleaks.toml": rules})

    same = site.run("x", [edit("sed -i '1i # moved down' old.py")])
    new = site.run("y", [edit("cp old.py new.py")])

    assert gates(site, same)["gitleaks"]["status"] == "known", same
    assert reasons(new)[0].startswith("gate gitleaks failed: new.py:"), new
