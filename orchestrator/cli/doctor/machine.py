"""Doctor's check of the machine: workspace, disk, git, processes, limits, clock."""

import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.cli.doctor.check import HealthCheck, quoted
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import size

MIN_OPEN_FILES = 1024
OLDEST_GIT = (2, 38)
#: Earliest plausible time of the clock (Unix time). With an earlier time, TLS
#: connections fail, and reports have wrong times.
EARLIEST_CLOCK = 1_735_689_600.0  # 2025-01-01
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "fuse.sshfs", "gpfs"}
)


def machine_checks(workspace: Path, least_bytes: int) -> Iterator[HealthCheck]:
    """Yield the checks of the machine.

    ``least_bytes``: minimum free space on the workspace's disk.
    """
    yield _writable(workspace)
    yield _free_space(workspace, least_bytes)
    yield _file_system(workspace)
    yield _git()
    yield _open_files()
    yield _clock()


def _nearest_existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _writable(workspace: Path) -> HealthCheck:
    try:
        with tempfile.TemporaryFile(dir=_nearest_existing(workspace)):
            pass
    except OSError as error:
        message = f"{workspace} cannot be written: {error.strerror}"
        command = f"sudo chown -R $(id -un) {quoted(workspace)}"
        fix = f"change the owner of the workspace: {command}; or set orchestrator.workspace_root"
        return HealthCheck(name="workspace", ok=False, message=message, fix=fix)
    return HealthCheck(name="workspace", ok=True, message=f"{workspace} is writable")


def _free_space(workspace: Path, least_bytes: int) -> HealthCheck:
    free = shutil.disk_usage(_nearest_existing(workspace)).free
    if free < least_bytes:
        message = f"only {size(free)} free: no worker starts"
        fix = (
            f"free disk space: {COMMAND} clean --older-than 7d; or set "
            "orchestrator.workspace_root; or set a lower workers.min_free_disk_bytes "
            f"({size(least_bytes)})"
        )
        return HealthCheck(name="disk", ok=False, message=message, fix=fix)
    return HealthCheck(name="disk", ok=True, message=f"{size(free)} free")


def repository_space(project: Path, workspace: Path, least_bytes: int) -> HealthCheck | None:
    """Check the free space on the disk of the project's repository.

    The check fails if less than ``least_bytes`` is free. Return None if the project has no
    repository, or if the workspace is on the same disk.
    """
    common = _common_directory(project)
    if common is None or os.stat(common).st_dev == os.stat(_nearest_existing(workspace)).st_dev:
        return None
    free = shutil.disk_usage(common).free
    if free < least_bytes:
        message = f"only {size(free)} free in {common}: no worker starts"
        needed = f"workers.min_free_disk_bytes ({size(least_bytes)})"
        fix = f"delete files in {common}, or set a lower {needed}"
        return HealthCheck(name="repository disk", ok=False, message=message, fix=fix)
    return HealthCheck(name="repository disk", ok=True, message=f"{size(free)} free in {common}")


def _common_directory(project: Path) -> Path | None:
    command = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
    try:
        process = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return Path(process.stdout.removesuffix("\n")) if process.returncode == 0 else None


def _file_system(workspace: Path) -> HealthCheck:
    kind = file_system_of(_nearest_existing(workspace))
    if kind in NETWORK_FILE_SYSTEMS:
        message = f"{workspace} is on {kind}, where SQLite's locks are not reliable"
        fix = "set orchestrator.workspace_root to a directory on a local disk"
        return HealthCheck(name="file system", ok=False, message=message, fix=fix)
    return HealthCheck(name="file system", ok=True, message=kind or "local")


def file_system_of(path: Path) -> str | None:
    """Return the type of the file system of ``path``; None if it is unknown."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    except OSError:
        return None
    nearest = ("", "")
    for line in mounts:
        left, _, right = line.partition(" - ")
        mount_point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        # If two mounts have the same mount point, the later mount hides the earlier mount.
        if path.resolve().is_relative_to(mount_point) and len(mount_point) >= len(nearest[0]):
            nearest = (mount_point, right.split()[0])
    return nearest[1] or None


def _git() -> HealthCheck:
    program = shutil.which("git")
    if program is None:
        message = "git is not on the PATH; surveys have no history, and no changes are merged"
        return HealthCheck(name="git", ok=None, message=message)
    process = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"(\d+)\.(\d+)", process.stdout)
    if version is None:
        message, fix = f"{program} does not work: {process.stderr.strip()}", "install git again"
        return HealthCheck(name="git", ok=False, message=message, fix=fix)
    if (int(version[1]), int(version[2])) < OLDEST_GIT:
        message = f"{version[0]} is older than 2.38; merges will fail; install git 2.38 or newer"
        return HealthCheck(name="git", ok=None, message=message)
    return HealthCheck(name="git", ok=True, message=process.stdout.strip())


def _open_files() -> HealthCheck:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    limit = "unlimited" if soft == unlimited else str(soft)
    if soft != unlimited and soft < MIN_OPEN_FILES:
        fix = f"ulimit -n {4096 if hard == unlimited else min(4096, hard)}"
        return HealthCheck(name="open files", ok=False, message=f"ulimit -n is {limit}", fix=fix)
    return HealthCheck(name="open files", ok=True, message=f"maximum {limit} (ulimit -n)")


def _clock() -> HealthCheck:
    now = time.time()
    time_text = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if now < EARLIEST_CLOCK:
        fix = "set the clock: timedatectl set-ntp true"
        return HealthCheck(name="clock", ok=False, message=f"{time_text} is in the past", fix=fix)
    return HealthCheck(name="clock", ok=True, message=f"{time_text}, {os.cpu_count()} processors")
