"""Host projects that are git repositories, and an agent that runs the script of its task."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: An agent that runs its prompt as a script in its working directory. It imports little, because
#: thousands of workers start it.
EDITOR = """
import json, os
with open(os.environ["ORCHESTRATOR_WORKER_DIR"] + "/task.json", encoding="utf-8") as file:
    prompt = json.load(file)["prompt"]
os.execvp("bash", ["bash", "-ec", prompt])
"""


def agents(folder: Path) -> dict[str, Any]:
    script = folder / "editor.py"
    script.write_text(EDITOR)
    return {"editor": {"command": [sys.executable, "-S", str(script)]}}


def edit(script: str, **more: Any) -> dict[str, Any]:
    """Return a task in which the agent runs ``script``, and then prints ``done``."""
    return {"agent": "editor", "prompt": f"{script}\necho done", **more}


#: A pytest without plugins, because loading them takes longer than a gate's tests.
PYTEST = f"""\
#!/bin/sh
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
exec {shlex.quote(sys.executable)} -P -m pytest "$@"
"""


def python_programs(folder: Path) -> str:
    """Return a search path that starts with pytest, ruff, and mypy of this Python."""
    program = folder / "pytest"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        program.write_text(PYTEST)
        program.chmod(0o755)
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


_CHILD = json.dumps([edit("until [ -e ../go ]; do sleep 0.02; done; echo c > README.md")])
#: A worker and its child job, for which it waits, change the same file.
BOTH_CHANGE = (
    f"cd \"$ORCHESTRATOR_WORKER_DIR\"; cat > c.json <<'END'\n{_CHILD}\nEND\n"
    "orchestrator spawn child --tasks c.json --wait & "
    "go=../../depth_1/worker_1_1; until [ -d $go ]; do sleep 0.02; done\n"
    "echo p > worktree/README.md; touch $go/go; wait $! || test $? = 6"
)


class Project:
    """A repository. git runs without this machine's configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def git(self, *arguments: str, check: bool = True) -> str:
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "User"), ("EMAIL", "user@example.org"))
        }
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        ran = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.path,
            env={**os.environ, **who, **quiet},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def begin(self, files: Mapping[str, str]) -> "Project":
        """Create the repository with one commit of these files."""
        self.git("init", "-q", "-b", "main")
        return self.commit(files)

    def commit(self, files: Mapping[str, str], message: str = "first") -> "Project":
        for name, text in files.items():
            self.write(name, text)
        self.git("add", "--all", *files)
        self.git("commit", "-q", "-m", message)
        return self

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def show(self, revision: str, path: str) -> str:
        return self.git("show", f"{revision}:{path}")

    def files(self, revision: str) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", revision).splitlines()

    def worktrees(self) -> list[str]:
        """Return the worktrees, except the user's own."""
        listed = self.git("worktree", "list", "--porcelain").splitlines()
        return [line.split(" ", 1)[1] for line in listed if line.startswith("worktree ")][1:]

    def snapshot(self) -> dict[str, str]:
        """Return a digest of each file of the user and of git's state, which no job may change."""
        found = {}
        for path in sorted(self.path.rglob("*")):
            name = str(path.relative_to(self.path))
            if path.is_file() and not name.startswith(("product/", ".git/")):
                found[name] = f"{_digest(path)} {path.stat().st_mtime_ns}"
        for name in ("HEAD", "index", "config", "refs/stash", "refs/heads/main", "packed-refs"):
            path = self.path / ".git" / name
            found[f".git/{name}"] = _digest(path) if path.is_file() else "none"
        return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
