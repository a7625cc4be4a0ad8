"""Selects the containment mode: the requested mode, or the strongest mode that works here.

A self-test shows whether a mode works on this machine.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.containment import cgroup
from orchestrator.launchers.containment.containment_settings import (
    ContainmentSettings,
    Mode,
    describe_inexact,
)
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.security.files.product_files import PACKAGES

#: How to fix a mode that does not work.
ADVICE: Mapping[Mode, str] = {
    Mode.SUBREAPER: "run on Linux and allow prctl(PR_SET_CHILD_SUBREAPER) in the seccomp profile",
    Mode.CGROUP: "start the server in a delegated control group: "
    f"systemd-run --user --scope -p Delegate=yes {COMMAND} serve",
    Mode.PIDNS: "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu "
    "kernel.apparmor_restrict_unprivileged_userns=0) and an unmasked /proc, or run as root",
    Mode.SANDBOX: "install bubblewrap (apt-get install bubblewrap) and allow user namespaces",
    Mode.BASIC: "check that this user may start processes",
}


def select_containment(
    requested: ContainmentSettings, spawner: SpawnerProcess | None = None
) -> ContainmentSettings:
    """Return the requested settings with a mode that works on this machine.

    ``spawner`` runs the self-tests of modes; None: start a process for the tests.

    Raise ContainmentUnavailable if the requested mode does not work, or if the settings are strict
    and a limit would not be enforced exactly.
    """
    if spawner is None:
        own_spawner = SpawnerProcess.start()
        try:
            return select_containment(requested, own_spawner)
        finally:
            own_spawner.close()
    settings = _strongest_settings(requested, spawner)
    if requested.strict and (inexact := settings.inexact_limits()):
        advice = ADVICE[Mode.CGROUP]
        if requested.mode not in (Mode.AUTO, Mode.CGROUP):
            advice = f"set workers.containment: auto, and {advice}"
        raise ContainmentUnavailable(
            f"workers.limits.strict is true, but {describe_inexact(inexact)} "
            f"({settings.reasons()}); {advice}; or set workers.limits.strict: false"
        )
    return settings


def _strongest_settings(
    requested: ContainmentSettings, spawner: SpawnerProcess
) -> ContainmentSettings:
    if requested.mode is not Mode.AUTO:
        return _prepared_and_tested(requested, spawner)
    faults = []
    for mode in _strongest_first():
        try:
            return _prepared_and_tested(replace(requested, mode=mode), spawner)
        except ContainmentUnavailable as error:
            faults.append(error.message)
    raise ContainmentUnavailable("\n".join(faults))


def _strongest_first() -> tuple[Mode, ...]:
    if sys.platform != "linux":
        return (Mode.BASIC,)
    return (Mode.CGROUP, Mode.SUBREAPER) if _is_delegated() else (Mode.SUBREAPER,)


def _prepared_and_tested(
    settings: ContainmentSettings, spawner: SpawnerProcess
) -> ContainmentSettings:
    try:
        prepare = _PREPARE.get(settings.mode)
        prepared = prepare(settings) if prepare else settings
        fault = spawner.fault(prepared.for_shims())
    except OSError as error:
        raise _unavailable(settings.mode, str(error)) from error
    if fault:
        raise _unavailable(settings.mode, fault)
    return prepared


def _unavailable(mode: Mode, fault: str) -> ContainmentUnavailable:
    return ContainmentUnavailable(
        f"workers.containment: {mode} does not work here: {fault}; "
        f"{ADVICE[mode]}; or set workers.containment: auto"
    )


def _with_group(settings: ContainmentSettings) -> ContainmentSettings:
    base = _own_group()
    if not os.access(base, os.W_OK):
        raise OSError(f"{base} belongs to another user")
    controllers = cgroup.enable(base, cgroup.controllers_for(settings.limits))
    return replace(settings, cgroup=base, controllers=controllers)


def _own_group() -> str:
    mount = _mount_point()
    path = next(
        (line[3:] for line in cgroup.read("/proc/self/cgroup").splitlines() if line[:3] == "0::"),
        None,
    )
    if mount is None or path is None:
        raise OSError("control groups of version 2 are not mounted")
    directory = (mount + path).rstrip("/")
    if os.path.basename(directory) == cgroup.SERVER_GROUP:
        directory = os.path.dirname(directory)
    if not os.path.isdir(directory):
        raise OSError(f"this server's control group {path} is not below {mount}")
    return directory


def _mount_point() -> str | None:
    for line in cgroup.read("/proc/self/mounts").splitlines():
        _, directory, kind, *_ = line.split()
        if kind == "cgroup2":
            return directory
    return None


def _is_delegated() -> bool:
    # Root may write to every group, so write access shows a delegation only for other users.
    try:
        group = _own_group()
    except OSError:
        return False
    if group == _mount_point():
        return False
    return _is_marked(group) or (os.geteuid() != 0 and os.access(group, os.W_OK))


def _is_marked(group: str) -> bool:
    # systemd marks a delegated group by an extended attribute.
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(group, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _with_bubblewrap(settings: ContainmentSettings) -> ContainmentSettings:
    program = shutil.which("bwrap")
    if program is None:
        raise OSError("bwrap is not installed")
    product = (f"{PACKAGES}/orchestrator", f"{PACKAGES}/bin")
    needed = tuple(dict.fromkeys((*product, sys.prefix, sys.base_prefix)))
    return replace(settings, sandbox=replace(settings.sandbox, program=program, needed=needed))


_PREPARE: Mapping[Mode, Callable[[ContainmentSettings], ContainmentSettings]] = {
    Mode.CGROUP: _with_group,
    Mode.SANDBOX: _with_bubblewrap,
}
