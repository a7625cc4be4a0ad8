"""Runs one survey worker: ``python -m orchestrator.agents.survey`` in a worker's directory."""

import io
import os
import sys
from pathlib import Path

from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.assignment.survey_task import read_environment, read_task
from orchestrator.agents.survey.survey_worker import printable, survey


def main() -> int:
    """Run the survey. Return the exit code: 0 if everything was surveyed, otherwise 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        directory = Path.cwd()
        missing = survey(read_task(directory), read_environment(os.environ, directory))
    except SurveyError as error:
        return _fail(error.message)
    except OSError as error:
        return _fail(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    if missing:
        parts = "; ".join(f"{part.title} ({part.status})" for part in missing)
        return _fail(f"missing or incomplete: {parts}")
    return 0


def _fail(message: str) -> int:
    print(f"survey: {printable(message)}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
