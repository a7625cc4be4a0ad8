"""The sandbox: bubblewrap runs each worker in a PID namespace, with the host mounted read-only."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.launchers.containment.pid_namespace import Namespaces
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import SpawnFailed
from orchestrator.system import process_table

_INIT = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from orchestrator.launchers.containment.namespace_init import main; main()"
)
_ROOT = str(Path(__file__).resolve().parents[3])
_DESCRIPTOR = 3
_PRIVATE = "/tmp"
_SCRATCH = "TMPDIR"
#: The value of ``security.files.scratch_directory.PREFIX``. The imports of that module would delay
#: the start of every shim.
_PREFIX = "orc-"
_DIRECTORY, _CONTROL, _SESSIONS, _HOME = (
    "ORCHESTRATOR_WORKER_DIR",
    "ORCHESTRATOR_CONTROL_DIR",
    "ORCHESTRATOR_SESSIONS_DIR",
    "ORCHESTRATOR_HOME",
)


class Sandboxes(Namespaces):
    """Containment by bubblewrap, which creates a PID namespace for each worker.

    If this process exits, bubblewrap and all processes in the namespace end, too.
    """

    mode = "sandbox"

    def __init__(self, settings: Message) -> None:
        super().__init__(settings)
        self._sandbox: Message = settings["sandbox"]
        self._program = self._sandbox["program"]

    def _start_init(
        self,
        init_end: socket.socket,
        source: int,
        output: int,
        cwd: str,
        env: Mapping[str, str],
    ) -> None:
        init = [sys.executable, "-S", "-E", "-B", "-c", _INIT, _ROOT, str(_DESCRIPTOR)]
        argv = [self._program, *arguments(self._sandbox, cwd, env), "--", *init]
        descriptors = ((source, 0), (output, 1), (output, 2), (init_end.fileno(), _DESCRIPTOR))
        # Duplicate the descriptors first. Otherwise one dup2 could overwrite a descriptor that a
        # later dup2 copies. The exec closes the duplicates.
        duplicates = [(os.dup(each), number) for each, number in descriptors]
        try:
            self._guard = os.posix_spawn(
                self._program,
                argv,
                {"PATH": os.defpath},
                file_actions=[(os.POSIX_SPAWN_DUP2, each, number) for each, number in duplicates],
            )
        except OSError as error:
            raise SpawnFailed(f"cannot start {self._program}: {error.strerror}") from None
        finally:
            for each, _ in duplicates:
                os.close(each)

    def _receive(self) -> Message:
        message = super()._receive()
        if not self._init:
            children = process_table.children(self._guard)
            if len(children) != 1:
                raise SpawnFailed("bubblewrap started no process inside the sandbox")
            self._init = children[0]
        return message


def arguments(sandbox: Message, cwd: str, env: Mapping[str, str]) -> list[str]:
    """Return bubblewrap's options for one worker. Later mounts cover earlier mounts."""
    words = ["--unshare-pid", "--as-pid-1", "--die-with-parent", "--unshare-ipc"]
    words += ["--cap-drop", "ALL"]
    if not sandbox["network"]:
        words.append("--unshare-net")
    words += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", _PRIVATE]
    home = [env[_HOME]] if _HOME in env else []
    # Without these paths, the worker and its child jobs could not start.
    needed = [*sandbox["needed"], *(f"{each}/bin" for each in home)]
    # Mount visible paths before the covers of hidden paths, because a visible directory may contain
    # a hidden path, and later mounts cover earlier mounts.
    visible = [each for each in sandbox["visible"] if os.path.realpath(each) != _PRIVATE]
    words += _options_to_show([*needed, *visible], [_PRIVATE])
    writable = [cwd, *(env[name] for name in (_DIRECTORY, _CONTROL, _SESSIONS) if name in env)]
    # Show the directory for temporary files only if it was created for the attempt. Otherwise
    # TMPDIR has the user's value, and this directory stays hidden.
    if os.path.basename(env.get(_SCRATCH, "")).startswith(_PREFIX):
        writable.append(env[_SCRATCH])
    writable += sandbox["writable"]
    # A task may work in the project. Mount the project first, because later mounts must cover the
    # hidden paths and the home inside the project.
    mounted_first = [each for each in writable if _is_above(each, [*sandbox["hide"], *home])]
    words += _options_to_write(mounted_first)
    for path in (os.path.realpath(each) for each in home):
        if _is_below(path, mounted_first):
            words += ("--ro-bind", path, path)
    words += _options_to_hide(sandbox["hide"])
    words += _options_to_show(needed, sandbox["hide"])
    return words + list(_options_to_write([each for each in writable if each not in mounted_first]))


def _options_to_show(paths: list[str], covers: list[str]) -> Iterator[str]:
    """Yield bubblewrap's options that make ``paths`` below hidden paths visible again.

    ``covers``: the hidden paths. A path that is not below a hidden path needs no option. Each path
    is shown as written, and with its symbolic links resolved.
    """
    names = (name for path in paths for name in (path, os.path.realpath(path)))
    for name in dict.fromkeys(names):
        if not os.path.exists(name) or not _is_below(name, covers):
            continue
        if os.path.islink(name):
            yield from ("--symlink", os.readlink(name), name)
        else:
            yield from ("--ro-bind", name, name)


def _options_to_hide(paths: list[str]) -> Iterator[str]:
    for path in dict.fromkeys(map(os.path.realpath, paths)):
        if os.path.isdir(path):
            yield from ("--tmpfs", path)
        elif os.path.exists(path):
            yield from ("--ro-bind", os.devnull, path)


def _options_to_write(paths: list[str]) -> Iterator[str]:
    for path in dict.fromkeys(map(os.path.realpath, paths)):
        if os.path.exists(path):
            yield from ("--bind", path, path)


def _is_above(path: str, others: list[str]) -> bool:
    return any(_is_below(os.path.realpath(each), [path]) for each in others)


def _is_below(path: str, covers: list[str]) -> bool:
    return any(Path(path).is_relative_to(os.path.realpath(cover)) for cover in covers)
