"""The steps of the container image run in a chroot, because a build needs Docker and a registry.

The base images are replaced by this machine's programs and Python. Not covered: the packages that
``apt-get`` installs, and the target ``agents``.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.conftest import PRODUCT, wait_until
from tests.acceptance.test_deploy import CONTAINERFILE
from tests.support.programs import skip_or_fail

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.timeout(600),
    pytest.mark.needs("bwrap", "setpriv"),
]

#: Files of /etc that the steps read: users, host names, certificates, and the package index.
ETC = ("passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "ssl", "pip.conf")
#: Commands of the package manager, which are skipped because they would change this machine.
OF_PACKAGES = ("apt-get ", "rm -rf /var/lib/apt")
KEY = "key-of-the-image-tests-0123456789"
#: This machine's Python, which finds its libraries by absolute paths.
PYTHON = os.path.realpath(sys.base_prefix)
Step = tuple[str, str]


@dataclass
class Image:
    """A directory in which the steps run, and the settings of the steps so far."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = "0:0"

    def prepare(self) -> None:
        # bwrap would create the parents of a mounted directory for root only.
        for name in ("etc", "tmp", "opt", "run/secrets", PYTHON.lstrip("/")):
            (self.root / name).mkdir(parents=True)
        self.root.chmod(0o755)
        (self.root / "tmp").chmod(0o1777)
        for name in ETC:
            source, target = Path("/etc", name), self.root / "etc" / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("private"))
            elif source.exists():
                shutil.copy(source, target)

    def inside(self, command: list[str], *, writable: bool = True) -> list[str]:
        """Return the command line that runs ``command`` in the directory, as the image's user."""
        uid, gid = self.user.split(":")
        path = f"{PYTHON}/bin:/usr/local/bin:/usr/bin:/bin"
        search_path = self.environ.get("PATH", "").replace("$PATH", path) or path
        mounts = ["--bind" if writable else "--ro-bind", str(self.root), "/"]
        mounts += ["--ro-bind", PYTHON, PYTHON]
        for each in ("usr", "bin", "lib", "lib64", "sbin"):
            mounts += ["--ro-bind-try", f"/{each}", f"/{each}"]
        for each in ("data", "project", "tmp") if not writable else ():
            mounts += ["--bind", str(self.root / each), f"/{each}"]
        rights = ["--cap-add", "ALL", "--proc", "/proc", "--dev", "/dev", "--chdir", self.cwd]
        variables = {**self.environ, "PATH": search_path}
        sets = [f"{name}={text}" for name, text in variables.items()]
        become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        return ["bwrap", *mounts, *rights, "--", *become, "env", *sets, *command]

    def run(self, *command: str, writable: bool = True) -> subprocess.CompletedProcess[str]:
        words = self.inside([*command], writable=writable)
        return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)

    def take(self, word: str, text: str) -> None:
        """Run one step of the container file."""
        if word == "COPY":
            self._copy(text.split())
        elif word == "RUN":
            parts = [each.strip() for each in text.split("&&")]
            for each in (part for part in parts if not part.startswith(OF_PACKAGES)):
                done = self.run("sh", "-c", each)
                if "No matching distribution" in done.stderr:
                    skip_or_fail("the package index cannot be reached")
                assert done.returncode == 0, done
        elif word == "ENV":
            self.environ |= dict(each.split("=", 1) for each in shlex.split(text))
        elif word == "WORKDIR":
            self.cwd = text
            (self.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            self.user = text

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from"):
            return  # the first stage has the same directory
        *sources, target = words
        place = self.root / os.path.join(self.cwd, target).lstrip("/")
        for source in (PRODUCT / each for each in sources):
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=ignored)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)


def steps_of(text: str) -> Iterator[Step]:
    """Yield the steps of the stages ``packages`` and ``runtime``, with joined lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    server, _, _ = joined.partition("FROM node")
    for line in server.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield word, rest.strip()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    if os.getuid() != 0:
        skip_or_fail("only root can run steps as another user")
    made = Image(tmp_path / "root")
    made.prepare()
    for word, text in steps_of(CONTAINERFILE):
        made.take(word, text)
    return made


def test_the_steps_make_a_server_that_answers_and_runs_a_job(image: Image) -> None:
    steps = dict(steps_of(CONTAINERFILE))
    (image.root / "run/secrets/api_key").write_text(KEY)
    (image.root / "project/app.py").write_text("def answer():\n    return 42\n")
    image.environ["ORCHESTRATOR_API__API_KEY_FILE"] = "/run/secrets/api_key"
    image.environ["ORCHESTRATOR_API__PORT"] = "0"
    entry = [each for each in json.loads(steps["ENTRYPOINT"]) if each not in ("tini", "--")]
    health = json.loads(steps["HEALTHCHECK"].partition("CMD ")[2])

    server = subprocess.Popen(image.inside([*entry, *json.loads(steps["CMD"])], writable=False))
    try:
        wait_until(lambda: image.run(*health, writable=False).returncode == 0, 120)
        done = image.run(*entry, "run", "--json", "Survey this repository", writable=False)

        assert json.loads(done.stdout)["status"] == "completed", done
        assert image.user == "10001:10001"
        assert {each.stat().st_uid for each in (image.root / "data/workspace").iterdir()} == {10001}
    finally:
        # bwrap does not forward signals to its child, the server.
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        for child in children.split():
            os.kill(int(child), signal.SIGTERM)
        assert server.wait(60) == 0
