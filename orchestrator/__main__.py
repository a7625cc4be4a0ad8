"""The program ``orchestrator``, and ``python -m orchestrator``."""

import gc
import os
import sys
from collections.abc import Sequence


def _serves(arguments: Sequence[str]) -> bool:
    """True if a command line runs a server."""
    at = 2 if arguments[:1] == ["--home"] else 0
    return arguments[at : at + 1] == ["serve"]


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

if __name__ == "__main__":
    main()
