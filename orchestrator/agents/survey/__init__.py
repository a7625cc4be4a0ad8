"""The embedded agent: a static analyser that maps the host project without any AI.

It runs as a worker process (``python -m orchestrator.agents.survey``); importing this package
loads nothing of the analyser, so that the job manager can ask for the command cheaply.
"""


def command(python: str) -> tuple[str, ...]:
    """Return the argv that runs a survey worker with the interpreter ``python``."""
    return (python, "-m", "orchestrator.agents.survey")
