"""The shared context of a job's workers: its parts, and its text."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.agents.prompts.template_loader import template
from orchestrator.core.model.job import Job
from orchestrator.core.text.formatting import cut_bytes
from orchestrator.security.untrusted_files import write_private

#: Maximum bytes of the request, and of the given context.
MOST_TEXT_BYTES = 64 * 1024
_CUT = "\n(cut here)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All inputs of the shared part of a prompt, except the project and the files."""

    root_request: str
    request: str
    depth: int
    max_depth: int
    #: True if the job's workers may start child jobs.
    recursive: bool
    context: str
    context_files: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, root: Job) -> "Recipe":
        config = job.config
        return cls(
            root_request=_bounded(root.request),
            request=_bounded(job.request),
            depth=config.claimed_depth + job.depth,
            max_depth=config.claimed_depth + config.max_depth,
            recursive=config.enable_recursion and job.depth < config.max_depth,
            context=_bounded(config.context),
            context_files=config.context_files,
        )

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        found = json.loads(text)
        return cls(**{**found, "context_files": tuple(found["context_files"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def shared_text(recipe: Recipe, project: str = "", files: Sequence[tuple[str, str]] = ()) -> str:
    """Return the first part of the prompts of all workers of a job."""
    return template("shared").render(recipe=recipe, project=project, files=files)


def write_once(path: Path, text: str) -> None:
    """Write a text whole or not at all, unless the file exists. Raise OSError."""
    if not os.path.lexists(path):
        write_private(path, text.encode("utf-8", "backslashreplace"))


def _bounded(text: str) -> str:
    shown = cut_bytes(text, MOST_TEXT_BYTES)
    return text if shown == text else shown + _CUT
