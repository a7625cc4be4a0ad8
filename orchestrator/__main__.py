"""``python -m orchestrator``: the same as the program ``orchestrator``."""

try:
    from orchestrator.cli import main
except KeyboardInterrupt:
    # ExitCode.INTERRUPTED, which may not be loaded yet. Where in Python it was is of no interest.
    raise SystemExit(130) from None

main()
