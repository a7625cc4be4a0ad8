"""The agent ``survey``: a static analyzer that maps the project without AI.

The analyzer runs as a worker process (``python -m orchestrator.agents.survey``). Importing this
package does not load the analyzer, because the server needs only the function ``command``.

- ``analysis``: The analysis of a survey: history, manifests, project map, result
- ``assignment``: The assignment of a survey worker: the task, and the words of the request
- ``project_files``: Files of the project: listing, reading, and their git history
- ``report``: Reports of the survey: Markdown and headlines
- ``source``: Reading source files: languages, symbols, modules, lines
"""


def command(python: str) -> tuple[str, ...]:
    return (python, "-m", "orchestrator.agents.survey")
