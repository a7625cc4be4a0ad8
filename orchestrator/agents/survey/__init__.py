"""The embedded agent: a static analyser that maps the host project without any AI.

It runs as a worker process (``python -m orchestrator.agents.survey``); importing this package
loads nothing of the analyser, so that the job manager can ask for the command cheaply.

- ``analysis``: The analysis of a survey: history, manifests, project map
- ``files``: Files of the project: listing, reading, and their git history
- ``report``: Reports of the survey: Markdown and headlines
- ``request``: The request: its intent, and the paths that it names
- ``result``: The survey's result, as values and as a file
- ``source``: Reading source files: languages, symbols, modules, lines
"""


def command(python: str) -> tuple[str, ...]:
    """Return the argv that runs a survey worker with the interpreter ``python``."""
    return (python, "-m", "orchestrator.agents.survey")
