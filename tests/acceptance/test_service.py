"""The server as a service: systemd accepts its unit, and the server reports its state."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from orchestrator.cli.server.systemd.manager import BOOTED
from tests.acceptance.conftest import PRODUCT, Server, wait_until
from tests.support.examples import nightly

#: Kinds of services in docs/service.md, with their options.
KINDS = {
    "system service of a normal user": (),
    "system service with `--run-as root`": ("--run-as", "root"),
    "service of a user (`--user`)": ("--user",),
}
PAGE = (PRODUCT / "docs" / "service.md").read_text("utf-8")
#: Maximum exposure of each kind of service, from 0 to 10.
EXPOSURES = dict(re.findall(r"^\| ([^|]+) \| below (\d\.\d)", PAGE, re.MULTILINE))
#: The kind of a service of a user on a machine without user namespaces.
WITHOUT_NAMESPACE = "service of a user without user namespaces"

#: Prefix of a command: the command runs where directories that systemd creates at boot exist.
SEEMS_BOOTED = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && cd /run/systemd "
    '&& mkdir -p system inaccessible/dir && cd "$OLDPWD" && exec "$@"',
    "sh",
)
#: Runs a command ($2 and later words) in a new control group with the name $1. This group is the
#: command's root group. A manager that runs as root moves all processes of its root group into a
#: subgroup. Without its own root group, it would move all processes of the machine.
IN_OWN_GROUP = """
set -e
umount -R /sys/fs/cgroup || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
shift
umount /sys/fs/cgroup
exec unshare --cgroup sh -c 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh "$@"
"""
#: Removes the control group $1 and its subgroups.
REMOVE_GROUP = """
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup && find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +
"""
#: Prefix of a command: the command and its descendants cannot create user namespaces.
WITHOUT_NAMESPACES = (
    *("unshare", "--map-root-user", "sh", "-c"),
    'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
    "sh",
)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A folder of the product whose name needs quotes in a unit."""
    folder = tmp_path / "my 100% $HOME pröject" / "the product"
    folder.mkdir(parents=True)
    for name in ("orchestrator", "bin"):
        shutil.copytree(PRODUCT / name, folder / name)
    (folder / ".venv").symlink_to(PRODUCT / ".venv")
    (folder / "workspace").mkdir()
    (folder / "config.yaml").write_text("api: {port: 0, api_key: key-of-the-service-tests}\n")
    (folder / "config.yaml").chmod(0o600)
    (folder.parent / "a.txt").write_text("a project\n")
    return folder


def service(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "bin" / "orchestrator"), "service", *arguments],
        cwd=folder.parent,
        env=without_settings(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if not k.startswith("ORCHESTRATOR_")}


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60
    )


@dataclass(frozen=True)
class UserManager:
    """A service manager of systemd. Its commands run where systemd seems to be booted."""

    environ: Mapping[str, str]

    def run(self, *command: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SEEMS_BOOTED, *command],
            cwd=directory,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--user", *arguments)

    def is_active(self) -> bool:
        """True if the server has notified systemd that it is ready."""
        return not self.systemctl("is-active", "orchestrator").returncode

    def main_pid(self) -> int:
        shown = self.systemctl("show", "--property=MainPID", "--value", "orchestrator")
        return int(shown.stdout or 0)


@pytest.fixture
def user_manager(request: pytest.FixtureRequest) -> Iterator[UserManager]:
    """A running service manager. A parameter is a prefix of its command."""
    if os.getuid() != 0:
        pytest.skip("only root can make systemd believe that it was booted")
    # Short, because paths of sockets may have at most 107 characters.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        environ = without_settings(os.environ)
        environ |= {"HOME": directory, "XDG_RUNTIME_DIR": directory}
        environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
        found = UserManager(environ)
        group = f"orchestrator-{Path(directory).name}"
        manager = subprocess.Popen(
            [
                *("unshare", "--mount", "sh", "-c", IN_OWN_GROUP, "sh", group),
                *getattr(request, "param", ()),
                *SEEMS_BOOTED,
                *("/lib/systemd/systemd", "--user", "--unit=basic.target"),
            ],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(
                lambda: found.run("systemctl", "--user", "is-system-running").returncode == 0
            )
            yield found
        finally:
            manager.terminate()
            manager.wait(60)
            subprocess.run(["unshare", "--mount", "sh", "-c", REMOVE_GROUP, "sh", group])


@pytest.mark.needs("systemd-analyze")
@pytest.mark.skipif(BOOTED.is_dir(), reason="systemd runs here, and the machine's services stay")
def test_systemd_restarts_a_killed_server_which_adopts_its_workers(
    product: Path, user_manager: UserManager
) -> None:
    program = str(product / "bin" / "orchestrator")

    def cli(*arguments: str) -> str:
        done = user_manager.run(program, *arguments, directory=product.parent)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cli("service", "install", "--user")
    first = user_manager.main_pid()
    command = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 1; done"
    plan = product / "plan.json"
    plan.write_text(json.dumps({"request": "count", "tasks": [{"command": command}]}))
    job_id = json.loads(cli("submit", "--json", "--plan", str(plan)))["job_id"]
    log = product / "workspace" / f"job_{job_id}" / "logs" / "depth_0_worker_1.log"
    wait_until(lambda: log.exists() and "line 2" in log.read_text())
    os.kill(first, signal.SIGKILL)
    # The process's id is 0 between the end and the restart.
    wait_until(lambda: user_manager.main_pid() not in (0, first) and user_manager.is_active())
    cli("wait", job_id)
    stopped = user_manager.systemctl("stop", "orchestrator")
    cli("service", "uninstall", "--user")

    assert [line for line in log.read_text().splitlines() if line.startswith("line")] == [
        f"line {number}" for number in range(1, 9)
    ]
    assert stopped.returncode == 0, stopped.stderr
    assert user_manager.main_pid() == 0
    assert not [*Path(user_manager.environ["HOME"]).rglob("orchestrator.service")]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("kind", [next(iter(KINDS)), *nightly(*list(KINDS)[1:])])
def test_systemd_accepts_the_unit_and_its_exposure_is_as_documented(
    product: Path, tmp_path: Path, kind: str
) -> None:
    if os.getuid() == 0 and not KINDS[kind]:  # a service of root has more rights
        os.chown(product / "workspace", pwd.getpwnam("daemon").pw_uid, -1)
    shown = service(product, "show", *KINDS[kind])
    unit = tmp_path / "orchestrator.service"
    unit.write_text(shown.stdout)

    assert shown.returncode == 0, shown.stderr
    install = " ".join(("service install", *KINDS[kind]))
    assert re.search(f"only shows the unit; to write it to /.*: .*{install}\n", shown.stderr)
    check_unit(unit, kind)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.skipif(BOOTED.is_dir(), reason="systemd runs here, and the machine's services stay")
@pytest.mark.parametrize("user_manager", [WITHOUT_NAMESPACES], indirect=True)
def test_without_user_namespaces_the_service_runs_and_the_command_says_why_it_is_unrestricted(
    product: Path, user_manager: UserManager
) -> None:
    program = str(product / "bin" / "orchestrator")

    installed = user_manager.run(program, "service", "install", "--user", directory=product.parent)
    is_active = user_manager.is_active()
    [unit] = Path(user_manager.environ["HOME"]).rglob("systemd/user/orchestrator.service")

    assert installed.returncode == 0, installed.stderr
    assert "can write to all your files, because user namespaces do not work" in installed.stderr
    assert is_active
    check_unit(unit, WITHOUT_NAMESPACE)
    removed = user_manager.run(program, "service", "uninstall", "--user", directory=product.parent)
    assert removed.returncode == 0, removed.stderr


def check_unit(unit: Path, kind: str) -> None:
    """Check that systemd accepts a unit, and that its exposure is as documented."""
    verified = systemd_analyze("verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    threshold = round(10 * float(EXPOSURES[kind]))
    arguments = ("security", "--offline=true", f"--threshold={threshold}", str(unit))
    exposure = systemd_analyze(*arguments)
    assert exposure.returncode == 0, exposure.stdout[-2000:]


@pytest.mark.skipif(BOOTED.is_dir(), reason="systemd runs here, and the machine's services stay")
@pytest.mark.parametrize("option", [["--user"], *nightly(["--run-as", "root"])])
def test_without_systemd_nothing_is_changed_and_two_commands_are_named(
    product: Path, option: list[str]
) -> None:
    refused = service(product, "install", *option)

    assert refused.returncode == 1, refused.stderr
    assert "nothing was changed" in refused.stderr
    assert f"'{product}/bin/orchestrator' serve" in refused.stderr
    assert f"'{product}/bin/orchestrator' service show" in refused.stderr


def test_the_server_notifies_systemd_when_it_is_ready_and_when_it_stops(
    product: Path, tmp_path: Path
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        server = Server(product, product.parent, variables={"NOTIFY_SOCKET": address})
        server.launch()
        ready = manager.recv(4096).decode()
        answer = requests.get(f"{server.record['url']}/readyz", timeout=60)
        server.stop()
        stopping = manager.recv(4096).decode()

    assert ready.splitlines()[0] == "READY=1" and str(product.parent) in ready
    assert answer.status_code == 200, answer.text
    assert stopping.splitlines()[0] == "STOPPING=1"


@pytest.mark.skipif(BOOTED.is_dir(), reason="systemd runs here, and the machine's services stay")
def test_the_folder_of_root_is_served_as_root_only_with_run_as_root(product: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root's own folder can show it")
    refused = service(product, "show")
    accepted = service(product, "show", "--run-as", "root")

    assert refused.returncode == 2 and "--run-as root" in refused.stderr, refused.stderr
    assert accepted.returncode == 0 and "\nUser=root\n" in accepted.stdout, accepted.stderr
