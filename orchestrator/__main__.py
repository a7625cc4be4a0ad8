"""The program ``orchestrator``, and ``python -m orchestrator``."""

import fcntl
import gc
import os
import sys
from collections.abc import Sequence


def _open_closed_streams() -> None:
    """Connect closed standard streams to the null device, as after ``orchestrator jobs 2>&-``.

    Otherwise, output would raise an error, or go to the next file that this process opens.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None and (number == 0 or _is_writable(number)):
            continue
        null_device = os.open(os.devnull, os.O_RDWR)
        if null_device != number:
            os.dup2(null_device, number)
            os.close(null_device)
        os.set_inheritable(number, True)
        setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _is_writable(number: int) -> bool:
    # If standard error is closed, bash may open its script, for reading, as this descriptor.
    return bool(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE)


def _serves(arguments: Sequence[str]) -> bool:
    """True if a command line runs a server."""
    at = 2 if arguments[:1] == ["--home"] else 0
    return arguments[at : at + 1] == ["serve"]


_open_closed_streams()
if _serves(sys.argv[1:]):
    # Fork before all other imports, so that the spawner's memory is small.
    from orchestrator.launchers.spawner import early_fork

    early_fork.fork()
# Collect garbage rarely. The modules of a command stay loaded, so a collection finds nothing. With
# the standard threshold, collections take a fifteenth of a short command's CPU time.
gc.set_threshold(50_000)
# The search for plugins of pydantic reads the metadata of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

try:
    from orchestrator.cli.command_line.main import main as main
except KeyboardInterrupt:
    # 130 is ExitCode.INTERRUPTED, whose module may not be loaded yet. Print no traceback, because
    # the user interrupted the program.
    raise SystemExit(130) from None
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("orchestrator"):
        raise
    from orchestrator.cli.output.command_paths import INSTALL_COMMAND

    message = f"Error: the package {missing.name} is missing; run {INSTALL_COMMAND}"
    raise SystemExit(message) from None

if __name__ == "__main__":
    main()
