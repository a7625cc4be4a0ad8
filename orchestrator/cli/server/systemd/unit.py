"""The text of a systemd unit that runs the server of one folder."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import ConfigError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.launchers.containment.cgroup import SERVER_GROUP

#: Beginning of a unit's first line. The rest of the line is the path of the home that the unit
#: belongs to.
MARK = "# Runs the orchestrator of "
#: Timeout of the server's stop, in seconds. In this time, the server stops its workers and writes
#: the last state.
STOP_SECONDS = 120
#: Seconds that the recovery of unfinished jobs may take.
START_SECONDS = 900

#: Pattern of texts that a unit file cannot contain: control characters, invalid UTF-8, a blank at
#: the beginning, and a blank or backslash at the end.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|^\s|[\s\\]$")

#: Hardening of all units. These settings need no privileges.
COMMON_HARDENING = """\
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
"""

#: Restrictions that need privileges. A service of a user has no privileges, so it needs a user
#: namespace.
FILE_SYSTEM_HARDENING = """\
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelModules=yes
# Not set, because containment pidns and sandbox mount a /proc of their own: ProtectProc,
# ProcSubset, ProtectHostname, ProtectKernelLogs, ProtectKernelTunables, RestrictNamespaces. Not
# set, because bubblewrap calls openat2: RestrictSUIDSGID. Not set, because containment cgroup
# writes there: ProtectControlGroups. Not set, because AI tools compile at run time:
# MemoryDenyWriteExecute. Not set, because workers may need a GPU: PrivateDevices.
"""

#: Restrictions of a service of a user, in addition to FILE_SYSTEM_HARDENING.
USER_NAMESPACE = """\
# A user's manager can restrict the file system only in a user namespace.
PrivateUsers=yes
# In this namespace, root's files belong to the user nobody, so ssh would reject these files.
InaccessiblePaths=-/etc/ssh/ssh_config.d
"""

#: All options that a service of a user can have only in a user namespace, except options with paths
#: of the project.
NEED_USER_NAMESPACE = tuple(
    each
    for each in (
        "CapabilityBoundingSet=",
        "PrivateTmp=yes",
        *f"{USER_NAMESPACE}{FILE_SYSTEM_HARDENING}".splitlines(),
    )
    if not each.startswith("#")
)

#: Comment of a unit for a user's manager that cannot restrict the file system.
NOT_RESTRICTED = """\
# Not set, because user namespaces did not work when this unit was written: PrivateUsers, and all
# options that need it, such as CapabilityBoundingSet, ProtectSystem, and PrivateTmp.
"""


@dataclass(frozen=True, kw_only=True)
class Unit:
    #: The program and its arguments.
    command: Sequence[str]
    folder: Path
    project: Path
    environment: Mapping[str, str]
    #: A file with further variables; it need not exist. systemd expands specifiers such as ``%E``.
    environment_file: str
    #: The user that the server runs as; empty: the unit belongs to the user's own service manager.
    user: str
    #: Directories that the server and its workers write to. Each directory must exist.
    writable: Sequence[Path]
    #: Further writable directories, which are ignored if they do not exist.
    writable_if_present: Sequence[Path]
    private_tmp: bool = True
    #: False if the user's service manager cannot start services in user namespaces. Then systemd
    #: cannot restrict the file system of the service.
    has_user_namespace: bool = True
    #: The version of systemd; 0: unknown.
    systemd_version: int
    #: True if control groups limit the memory, processors, or processes of workers.
    has_limits: bool = False

    def text(self) -> str:
        """Return the text of the unit file.

        Raise ConfigError for a path that a unit file cannot contain.
        """
        sections = (self._unit_section(), self._service_section(), self._install_section())
        return f"{MARK}{_line(self.folder)}\n\n" + "\n".join(sections)

    def _unit_section(self) -> str:
        lines = [
            "[Unit]",
            f"Description=Orchestrator for {_line(self.project)}",
            "StartLimitIntervalSec=60",
            "StartLimitBurst=5",
        ]
        if self.user:
            lines += ["Wants=network-online.target", "After=network-online.target"]
        return _joined(lines)

    def _service_section(self) -> str:
        program, *arguments = self.command
        lines = [
            "[Service]",
            "Type=notify",
            *([f"User={self.user}"] if self.user else []),
            f"WorkingDirectory={_line(self.folder)}",
            f"ExecStart={_program(program)} {' '.join(map(_word, arguments))}",
            *(f"Environment={_word(f'{k}={v}')}" for k, v in self.environment.items()),
            f"EnvironmentFile=-{self.environment_file}",
            "",
            *self._kill_mode(),
            f"TimeoutStartSec={START_SECONDS}",
            f"TimeoutStopSec={STOP_SECONDS}",
            "Restart=on-failure",
            "RestartSec=5",
            "# Exit code 2 is an error of the configuration: a restart would not repair it.",
            "RestartPreventExitStatus=2",
            "# Each worker has its own control group. A worker that runs out of memory ends alone.",
            "Delegate=yes",
            *([f"DelegateSubgroup={SERVER_GROUP}"] if self._has_subgroup else []),
            "OOMPolicy=continue",
            "",
        ]
        return _joined(lines) + COMMON_HARDENING + self._file_system_hardening()

    @property
    def _has_subgroup(self) -> bool:
        return self.systemd_version >= 254

    def _kill_mode(self) -> Sequence[str]:
        if self.has_limits and not self._has_subgroup:
            return (
                "# While control groups with limits exist, systemd before 254 cannot start a",
                "# server (exit status 219): so workers end with the server, and are retried.",
                "KillMode=mixed",
            )
        return (
            "# After a crash of the server, its workers continue, and the next server adopts them.",
            "# A server that is stopped also stops its workers (workers.on_shutdown).",
            "KillMode=process",
        )

    @property
    def restricts_files(self) -> bool:
        """True if systemd restricts which files the service can write."""
        return bool(self.user) or self.has_user_namespace

    def _file_system_hardening(self) -> str:
        if not self.restricts_files:
            return NOT_RESTRICTED
        lines = [f"ReadWritePaths={_word(str(each))}" for each in self.writable]
        lines += [f"ReadWritePaths={_word(str(each), '-')}" for each in self.writable_if_present]
        if self.private_tmp:
            lines.append("PrivateTmp=yes")
        else:
            lines.append("ReadWritePaths=/tmp /var/tmp")
        # A server that runs as root needs its capabilities to start containment ``pidns``.
        capabilities = [] if self.user == "root" else ["CapabilityBoundingSet="]
        namespace = "" if self.user else USER_NAMESPACE
        return namespace + _joined(capabilities) + FILE_SYSTEM_HARDENING + _joined(lines)

    def _install_section(self) -> str:
        target = "multi-user.target" if self.user else "default.target"
        return _joined(["[Install]", f"WantedBy={target}"])


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def folder_of(text: str) -> str | None:
    """Return the folder that a unit's text names; None if ``Unit.text`` did not write the text."""
    first = text.partition("\n")[0]
    return first.removeprefix(MARK).replace("%%", "%") if first.startswith(MARK) else None


def _line(path: Path) -> str:
    # Use this only for lines in which systemd does not interpret quotes.
    return _checked(str(path)).replace("%", "%%")


def _word(text: str, prefix: str = "") -> str:
    escaped = _checked(text).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    is_plain = re.fullmatch(r"[\w%+,./:=@-]+", escaped, re.ASCII)
    return f"{prefix}{escaped}" if is_plain else f'"{prefix}{escaped}"'


def _program(path: str) -> str:
    # With the prefix ``:``, systemd does not expand ``$`` in the command.
    if re.search(r"[\"'\\]", path):  # systemd rejects such a program, however it is quoted
        raise ConfigError(
            f"the path {path!r} contains a quote or backslash, which systemd rejects; rename it"
        )
    return _word(path, ":")


def _checked(text: str) -> str:
    if _UNFIT.search(text):
        raise ConfigError(f"{text!r} contains a character that systemd rejects; rename it")
    return text
