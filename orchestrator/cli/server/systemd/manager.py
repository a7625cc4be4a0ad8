"""Calls the service manager: the machine's systemd, or the calling user's."""

import os
import pwd
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.server.systemd.unit import NEED_USER_NAMESPACE
from orchestrator.core.errors import Unavailable
from orchestrator.core.lazy_dataclass import dataclass

SYSTEM_UNITS = Path("/etc/systemd/system")
#: Directory that exists if systemd is this machine's service manager (sd_booted).
BOOTED = Path("/run/systemd/system")
#: Timeout of one call of systemctl, in seconds.
SYSTEMCTL_SECONDS = 1200.0


def systemd_version() -> int:
    """Return the version of this machine's systemd; 0 if systemd is not installed."""
    if shutil.which("systemctl") is None:
        return 0
    process = subprocess.run(["systemctl", "--version"], capture_output=True, text=True)
    match = re.match(r"systemd (\d+)", process.stdout)
    return int(match[1]) if match else 0


@dataclass(frozen=True, kw_only=True)
class Manager:
    #: True: the service manager of the calling user. False: the service manager of the machine.
    of_user: bool

    @property
    def command(self) -> list[str]:
        return ["systemctl", "--user"] if self.of_user else ["systemctl"]

    def directory(self, context: CliContext) -> Path:
        if not self.of_user:
            return SYSTEM_UNITS
        home = context.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
        config = context.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        return Path(config) / "systemd" / "user"

    def is_running(self, context: CliContext) -> bool:
        if not BOOTED.is_dir() or shutil.which("systemctl") is None:
            return False
        runtime = context.environ.get("XDG_RUNTIME_DIR", "")
        return not self.of_user or (Path(runtime) / "systemd").is_dir()

    def can_restrict_files(self, context: CliContext) -> bool:
        """True if this manager can restrict the file system of a service.

        Also True if this manager does not run. A user's manager needs unprivileged user namespaces.
        Without them, the manager starts a service that can write to all files, or fails to start
        the service. Therefore this method starts a short service, and checks if the service can
        write.
        """
        if not self.of_user or not self.is_running(context):
            return True
        # ProtectHome or ProtectSystem makes this directory read-only.
        writable = context.environ["XDG_RUNTIME_DIR"]
        options = ("--user", "--wait", "--collect", "--quiet")
        properties = (f"--property={each}" for each in NEED_USER_NAMESPACE)
        done = _call("systemd-run", *options, *properties, "test", "!", "-w", writable)
        return done.returncode == 0

    def output_of(self, *arguments: str) -> str:
        """Return the output of systemctl with ``arguments``; "" if systemctl fails."""
        process = self._systemctl(*arguments)
        return process.stdout.strip() if process.returncode == 0 else ""

    def run(self, *arguments: str) -> None:
        """Run systemctl with ``arguments``. Raise Unavailable if systemctl fails."""
        process = self._systemctl(*arguments)
        if process.returncode:
            reason = process.stderr.strip() or f"exit code {process.returncode}"
            raise Unavailable(f"{shlex.join([*self.command, *arguments])} failed: {reason}")

    def _systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _call(*self.command, "--no-pager", *arguments)


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SYSTEMCTL_SECONDS,
    )
