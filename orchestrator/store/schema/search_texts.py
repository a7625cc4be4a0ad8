"""Values of a job as one text, in which the database searches."""

import json
from collections.abc import Iterable

from orchestrator.core.model.job import Job
from orchestrator.core.outcome.job.needs import kinds_of_job


def needs_text(job: Job) -> str:
    """Return the kinds of needs that follow from the job itself."""
    return _lines(kinds_of_job(job))


def labels_text(job: Job) -> str:
    """Return the labels, such as ``team:a``, one in each line."""
    return _lines(label_line(name, value) for name, value in job.config.labels.items())


def label_line(name: str, value: str) -> str:
    """Return a label as one line: values may have line ends."""
    return json.dumps(f"{name}:{value}")


def line_in(text: str) -> str:
    """Return what a text has if it has this line."""
    return f"\n{text}\n"


def _lines(texts: Iterable[str]) -> str:
    found = "\n".join(texts)
    return line_in(found) if found else ""
