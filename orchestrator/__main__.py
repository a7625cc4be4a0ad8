"""The program ``orchestrator``, and ``python -m orchestrator``."""

import gc
import os

# Rare garbage collections: the modules of a command stay loaded, so a collection finds nothing, and
# the collections of the standard threshold take a fifteenth of a short command's CPU time.
gc.set_threshold(50_000)
# The search for plugins of pydantic reads the metadata of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

try:
    from orchestrator.cli import main as main
except KeyboardInterrupt:
    # ExitCode.INTERRUPTED, whose module may not be loaded yet. The place of the interrupt in
    # Python does not matter.
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()
