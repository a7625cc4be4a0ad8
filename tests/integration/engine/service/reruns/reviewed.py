"""A project, and an agent whose first attempt makes a mistake that comments correct."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.site import Answer, InProcess
from tests.support.project import Project

#: Writes ``answer = 41``; after a comment with a line ``use N``, it writes ``answer = N``.
WRITER = r"""
import json, os, pathlib, re, subprocess, sys
prompt = sys.stdin.read()
home = pathlib.Path(os.environ["ORCHESTRATOR_WORKER_DIR"])
number = len(list(home.glob("seen-*.md"))) + 1
(home / f"seen-{number}.md").write_text(prompt)
name = re.search(r"in the file (\S+)", prompt)[1]
path = pathlib.Path(name)
asked = re.findall(r"(?m)^use (\d+)", prompt)
if "delegate a part" in prompt and number == 1:
    (home / "c.json").write_text(json.dumps([{"command": "echo c > child.txt", "git": "on"}]))
    subprocess.run(["orchestrator", "spawn", "c", "--tasks", str(home / "c.json"), "--wait"])
if "fail now" in prompt:
    sys.exit(3)
if "ask first" in prompt and not asked:
    print("Which answer shall I write?")
elif "leave it" not in prompt:
    path.write_text(f"# made by attempt {number}\nanswer = {asked[-1] if asked else 41}\nend = 1\n")
print("written")
"""


def settings(folder: Path) -> dict[str, Any]:
    script = folder / "writer.py"
    script.write_text(WRITER)
    return {name: {"command": [sys.executable, str(script)]} for name in ("writer", "other")}


def write(name: str = "answer.txt", **more: Any) -> Answer:
    return {"agent": "writer", "prompt": f"Write the answer in the file {name}", **more}


def make_reviewed_site(
    make_site: Callable[..., Any], folder: Path, **changes: dict[str, Any]
) -> tuple[Any, Project]:
    project = Project(folder / "project").begin({"README.md": "one\ntwo\n"})
    orchestrator = {"project_root": str(project.path), **changes.pop("orchestrator", {})}
    site = make_site(orchestrator=orchestrator, agents=settings(folder), **changes)
    return site, project


def tip(project: Project, job: str, worker: str = "worker_1") -> str:
    return project.git("rev-parse", f"orchestrator/{job}/{worker}")


def comments(commit: str, text: str = "use 42", line: int = 2, **more: Any) -> Answer:
    found = {"path": "answer.txt", "side": "new", "line": line, "text": text}
    return {"comments": [found], "commit": commit, **more}


def prompt(site: InProcess, job: str, attempt: int, worker: str = "worker_1") -> str:
    """Return the input of one of the worker's attempts."""
    return (site.directory(job) / "depth_0" / worker / f"seen-{attempt}.md").read_text()
