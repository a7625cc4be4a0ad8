"""``python -m orchestrator``: the same as the program ``orchestrator``."""

try:
    from orchestrator.cli import main
except KeyboardInterrupt:
    # ExitCode.INTERRUPTED, whose module may not be loaded yet. The place of the interrupt in
    # Python does not matter.
    raise SystemExit(130) from None

main()
