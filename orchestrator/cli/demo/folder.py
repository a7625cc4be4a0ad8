"""The demo's folder, with its own settings, command, plan, and repository."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.cli.demo import scripted_agent, shop
from orchestrator.cli.server.home_setup import write_command
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.atomic_write import replace_file

PREFIX = "orchestrator-demo-"
#: Prefixes of environment variables that could name another project, server, or repository.
FOREIGN = ("ORCHESTRATOR_", "GIT_")

#: Git without the user's hooks, templates, and signatures.
GIT = ("git", "-c", "commit.gpgSign=false", "-c", f"core.hooksPath={os.devnull}")

CONFIG = """\
# Settings of this demo only.
orchestrator:
  project_root: ./shop
workers:
  agent: scripted
  max_workers: 4
  retry_backoff_seconds: 0.5
api:
  port: 0
  api_key: {key}
agents:
  scripted:
    command: [{python}, {agent}]
    description: A script in place of an AI agent
    memory_bytes: 67108864
"""


class DemoFailed(OrchestratorError):
    """The folder of the demo cannot be prepared or read."""

    kind = "demo"


@dataclass(frozen=True)
class DemoFolder:
    path: Path

    @property
    def project(self) -> Path:
        return self.path / "shop"

    @property
    def workspace(self) -> Path:
        return self.path / "workspace"

    @property
    def command(self) -> Path:
        return self.path / "bin" / "orchestrator"

    @property
    def plan(self) -> Path:
        return self.path / "plan.yaml"

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return ``environ`` without the variables of this product and of git.

        With these variables, commands could use another folder than the demo's folder.
        """
        variables = {name: value for name, value in environ.items() if not name.startswith(FOREIGN)}
        return {**variables, "ORCHESTRATOR_PYTHON": sys.executable}

    def head(self, environ: Mapping[str, str]) -> str:
        """Return the checked-out commit of the repository. Raise DemoFailed if git fails."""
        return self._git(environ, "rev-parse", "HEAD")

    def prepare(self, environ: Mapping[str, str]) -> None:
        """Create the content of the folder.

        Raise DemoFailed if git fails, and OSError if a file cannot be written. After an error, the
        caller must remove the folder.
        """
        write_command(self.path)
        self.workspace.mkdir()
        agent = self.path / "agent.py"
        shutil.copyfile(scripted_agent.__file__, agent)
        config = CONFIG.format(
            key=json.dumps(secrets.token_hex(32)),
            python=json.dumps(sys.executable),
            agent=json.dumps(str(agent)),
        )
        replace_file(self.path / "config.yaml", config.encode())
        self.plan.write_text(shop.plan_text(sys.executable), "utf-8")
        self._make_repository(environ)

    def _make_repository(self, environ: Mapping[str, str]) -> None:
        self.project.mkdir()
        for name, text in shop.FILES.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        self._git(environ, "init", "-q", "--template=")
        self._git(environ, "symbolic-ref", "HEAD", "refs/heads/main")
        self._git(environ, "config", "user.name", "Demo")
        self._git(environ, "config", "user.email", "demo@localhost")
        self._git(environ, "add", "--all")
        self._git(environ, "commit", "-q", "-m", "A small shop")

    def _git(self, environ: Mapping[str, str], *arguments: str) -> str:
        try:
            process = subprocess.run(
                [*GIT, *arguments],
                cwd=self.project,
                env=self.environment(environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            raise DemoFailed("git not found on the PATH; install git 2.38 or newer") from None
        if process.returncode:
            raise DemoFailed(f"git {arguments[0]} failed: {process.stderr.strip()}")
        return process.stdout.strip()


def new_folder(keep: Path | None, environ: Mapping[str, str]) -> DemoFolder:
    """Return a prepared folder: ``keep``, or a new temporary directory.

    Raise DemoFailed if ``keep`` exists. A folder that cannot be prepared is removed completely.
    """
    try:
        path = Path(os.path.abspath(keep) if keep else tempfile.mkdtemp(prefix=PREFIX))
        if keep:
            path.mkdir(mode=0o700)
    except FileExistsError:
        raise DemoFailed(f"{keep} exists; name a directory that does not exist yet") from None
    except OSError as error:
        location = keep or tempfile.gettempdir()
        raise DemoFailed(
            f"cannot create a directory at {location}: {error.strerror}; name another: --keep DIR"
        ) from error
    folder = DemoFolder(path.resolve())
    try:
        folder.prepare(environ)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return folder
