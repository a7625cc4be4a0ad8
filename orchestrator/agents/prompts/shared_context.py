"""The shared context of a job: its parts, its text, and its creation by the server."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job
from orchestrator.core.ports import Invocation
from orchestrator.core.text.formatting import cut_bytes, fence, one_line
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.product_files import PACKAGES
from orchestrator.security.files.untrusted_files import read_regular


@cache
def template(name: str) -> Template:
    source = (
        resources.files(__package__)
        .joinpath("templates", f"{name}.md.j2")
        .read_text(encoding="utf-8")
    )
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(fence=fence, one_line=one_line)
    return environment.from_string(source)


#: Maximum bytes of the request, and also of the job's ``context``.
MOST_TEXT_BYTES = 64 * 1024
_CUT = "\n(cut here)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The inputs of a job's shared context, except the project digest and the text of files."""

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
        values = json.loads(text)
        return cls(**{**values, "context_files": tuple(values["context_files"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def shared_text(recipe: Recipe, project: str = "", files: Sequence[tuple[str, str]] = ()) -> str:
    return template("shared").render(recipe=recipe, project=project, files=files)


def write_once(path: Path, text: str) -> None:
    """Write a text atomically, unless the file exists. Raise OSError if the write fails."""
    if not os.path.lexists(path):
        replace_file(path, text.encode("utf-8", "backslashreplace"))


def _bounded(text: str) -> str:
    shown = cut_bytes(text, MOST_TEXT_BYTES)
    return text if shown == text else shown + _CUT


DIRECTORY = "context"
#: Maximum bytes that are read. A valid file is smaller, because each part of it is limited.
_MOST_BYTES = 1024 * 1024


class JobContexts:
    """Creates and reads the shared contexts of a job tree.

    Each job of the tree has one file in ``context/`` of the root job's directory.
    """

    def __init__(self, job_directory: Callable[[str], Path]) -> None:
        self._job_directory = job_directory

    def exists(self, job: Job) -> bool:
        return os.path.lexists(self._path(job))

    def command(self, job: Job, root: Job) -> tuple[Path, Invocation]:
        """Return the working directory and the call of the process that creates the context.

        Raise OSError if the working directory cannot be created.
        """
        directory = self._path(job).parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"job_{job.id}.json"
        return directory, Invocation(
            argv=(sys.executable, "-m", "orchestrator.agents.prompts", self._path(job).name),
            files={name: Recipe.of(job, root).to_json()},
            stdin=name,
            env={"PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def make_plain(self, job: Job, root: Job) -> None:
        """Create the job's context without the project digest and without the text of files.

        An existing context is not changed. Raise OSError if the file cannot be written.
        """
        self._path(job).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(self._path(job), shared_text(Recipe.of(job, root)))

    def read(self, job: Job) -> str:
        """Return the text of the job's context. The text never changes.

        Raise OSError if the file is missing or is not a regular file.
        """
        path = self._path(job)
        content = read_regular(path, _MOST_BYTES, within=self._job_directory(job.root_id))
        if content is None:
            raise FileNotFoundError(f"cannot read the shared context {path}")
        return content.decode("utf-8", "replace")

    def _path(self, job: Job) -> Path:
        return self._job_directory(job.root_id) / DIRECTORY / f"job_{job.id}.md"
