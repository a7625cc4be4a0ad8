"""Files of hostile and careless workers, and the users that can read a job's files."""

import base64
import json
import os
import stat
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.conftest import MakeServer
from tests.integration.site import InProcess, shell, until

SECRET = 'p@ss/w"rd+täken-0123456789'


def encodings(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret,
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        *(base64.b64encode(b"\0" * n + raw).decode()[2:-4] for n in range(3)),
    ]


def texts(site: InProcess, job: str) -> dict[str, str]:
    """Return all texts about a job: answers, and files except the workers' own."""
    root = site.directory(job)
    own = [root / "depth_0" / name for name in os.listdir(root / "depth_0") if "worker" in name]
    found = {
        str(path.relative_to(root)): path.read_text("utf-8", "replace")
        for path in root.rglob("*")
        if path.is_file() and not any(path.is_relative_to(each) for each in own)
    }
    for path in ("", "/status", "/results", "/tree", "/events", "/logs/worker_1", "/wait"):
        found[f"GET {path}"] = site.call("GET", f"/jobs/{job}{path}").text
    for path in (site.folder / "logs").iterdir():
        found[path.name] = path.read_text("utf-8", "replace")
    for path in site.workspace.glob("orchestrator.db*"):
        found[path.name] = path.read_bytes().decode("latin-1")
    return found


def test_a_key_that_a_worker_reports_is_masked_everywhere(site: InProcess) -> None:
    command = (
        "for word in $ORCHESTRATOR_API_KEY; do"
        " printf %s $word | cut -c1-9; sleep 0.2; done >/dev/null;"
        ' printf "key %s\n" $ORCHESTRATOR_API_KEY;'
        ' echo "# key $ORCHESTRATOR_API_KEY" > output.md;'
        " printf %s $ORCHESTRATOR_API_KEY | base64 -w0 >> output.md;"
        " printf '%099d%s%099d' 0 $ORCHESTRATOR_API_KEY 0 | base64 | tee -a output.md;"
        ' touch "name-$ORCHESTRATOR_API_KEY"; printf %s $ORCHESTRATOR_API_KEY > /dev/fd/3'
    )
    job = site.submit("leak", [shell(f"exec 3> ../../../leak; {command}; exit 1")])
    site.wait(job)
    leaked = (site.workspace / "leak").read_text()

    assert len(leaked) >= 43
    for place, text in texts(site, job).items():
        unbroken = text.replace("\\n", "").replace("\n", "")
        for form in encodings(leaked):
            assert form not in text, place
            assert form not in unbroken, place
    assert "***" in site.get(f"/jobs/{job}/status")["results"]["tasks"][0]["output"]


def test_a_secret_of_a_task_is_masked_in_what_it_leaves(site: InProcess) -> None:
    command = 'echo "$MY_PASSWORD" > output.md; printf "%s\n" "$MY_PASSWORD"; exit 3'
    job = site.submit("leak", [shell(command, env={"MY_PASSWORD": SECRET})])
    site.wait(job)

    found = texts(site, job)
    for place, text in found.items():
        if not place.startswith("orchestrator.db"):  # a retry needs this file
            for form in encodings(SECRET):
                assert form not in text, place


@pytest.mark.parametrize(
    "planted",
    [
        "ln -s /etc/passwd output.md",
        "ln /etc/hostname output.md 2>/dev/null || ln -s /etc/hostname output.md",
        "mkfifo output.md",
        "mkdir output.md",
        "mknod output.md c 1 5 2>/dev/null || ln -s /dev/zero output.md",
        'cd .. && mv worker_1 w && mkdir t && echo root:x > t/output.md && ln -s "$PWD/t" worker_1',
        "ln -s / all",
    ],
)
def test_what_a_worker_plants_is_not_read(site: InProcess, planted: str) -> None:
    [row] = site.run("plant", [shell(f"{planted}; echo printed")])["results"]["tasks"]

    assert row["status"] == "success"
    assert row["output"] == "printed"
    assert not [name for name in row["files_created"] if name.startswith("all/")]


def test_a_directory_in_the_place_of_the_final_report_is_kept_beside_it(site: InProcess) -> None:
    command = "mkdir ../../FINAL_RESULT.md && echo mine > ../../FINAL_RESULT.md/file"
    ended = site.run("plant", [shell(command)])

    directory = site.directory(ended["job_id"])
    assert ended["status"] == "completed"
    assert (directory / "FINAL_RESULT.md").read_text().startswith("# Completed")
    [kept] = directory.glob("FINAL_RESULT.md.renamed-*")
    assert (kept / "file").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["logs", "reports", "depth_0"])
def test_a_directory_of_a_job_that_became_a_link_gives_nothing_away(
    site: InProcess, name: str
) -> None:
    job = site.submit("plant", [shell("echo printed")])
    site.wait(job)
    elsewhere = site.folder / "elsewhere"
    (site.directory(job) / name).rename(elsewhere)
    (site.directory(job) / name).symlink_to(elsewhere)
    path = {
        "logs": "logs/worker_1",
        "reports": "reports/analytics.json",
        "depth_0": "reports/LEVEL_0_REPORT.md",
    }[name]

    assert site.call("GET", f"/jobs/{job}/{path}").status_code == 404


@pytest.mark.slow
def test_nobody_else_can_read_what_a_server_writes(make_server: MakeServer) -> None:
    server = make_server()
    command = "mkdir made; echo x > made/file; echo done"
    job = server.submit("one", [shell(command), shell("false")])
    server.wait(job)
    server.call("GET", "/jobs/none")
    until(lambda: (server.folder / "logs" / "audit.jsonl").exists(), "the audit log is there")

    found = [server.workspace, *server.workspace.rglob("*"), *(server.folder / "logs").rglob("*")]
    assert {"audit.jsonl", "orchestrator.log", "server.json", "orchestrator.db", "file"} <= {
        path.name for path in found
    }
    for path in (*found, server.folder / "logs"):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            expected = {0o700} if path.is_dir() else {0o600}
            assert mode in expected, f"{path}: {mode:o}"


def test_the_audit_log_names_the_worker_that_called(site: InProcess, tmp_path: Path) -> None:
    call = (
        'curl -s -o /dev/null -X POST -H "X-API-Key: $ORCHESTRATOR_API_KEY"'
        ' "$ORCHESTRATOR_API_URL/api/v1/jobs/other/cancel"'
    )
    job = site.submit("call", [shell(call)])
    site.wait(job)

    lines = (site.folder / "logs" / "audit.jsonl").read_text().splitlines()
    found = [(one["key"], one["target"], one["status"]) for one in map(json.loads, lines)]
    assert (f"{job}/worker_1", "/api/v1/jobs/other/cancel", 404) in found
    assert ("default", "/api/v1/orchestrate", 202) in found
