"""Renders Jinja templates. A user's template replaces the shipped template with the same name."""

import marshal
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import resources
from inspect import getmembers_static
from pathlib import Path
from types import CodeType
from typing import Any, cast

from jinja2 import (
    BaseLoader,
    BytecodeCache,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
)
from jinja2.bccache import Bucket, bc_magic
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator import IS_INSTALLED
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import plural
from orchestrator.reports import headline_and_next_steps, template_filters
from orchestrator.reports.template_filters import cell, duration, href, size
from orchestrator.reports.template_values import WorkerView
from orchestrator.reports.timeline import bar_name

#: Text of a table cell without a value.
NONE = "–"


def worker_row(worker: WorkerView, up: str, here: bool = False) -> str:
    """Return a worker's row for the table that the macro ``workers_table`` writes.

    ``up``: path from the report's directory to the root job's directory. ``here``: True if the
    report's directory contains the workers' directories.
    """
    name, took, cpu, memory = cell(worker.id), NONE, NONE, NONE
    if worker.started:
        name = f"[{name}]({href(f'{worker.id if here else up + worker.directory}/')})"
        took, cpu = duration(worker.seconds), duration(worker.cpu_seconds)
        memory = size(worker.peak_memory_bytes)
    log = f"[log]({href(up + worker.log)})" if worker.has_log else NONE
    links = [
        f"[{cell(job.id)}]({href(up + job.report)}) ({job.status})" for job in worker.child_jobs
    ]
    child_jobs = ", ".join(links) or NONE
    return (
        f"| {name} | {cell(worker.title or worker.task_id, 80)} | {cell(worker.agent, 40)} "
        f"| {worker.status} | {worker.attempts} | {took} | {cpu} | {memory} "
        f"| {worker.gate_counts or NONE} | {log} | {child_jobs} |"
    )


_FILTERS: Mapping[str, Callable[..., str]] = {
    # Texts of users and workers.
    "cell": template_filters.cell,
    "code": template_filters.code,
    "document": template_filters.document,
    "fence": template_filters.fence,
    "href": template_filters.href,
    "inline": template_filters.inline,
    "last_lines": template_filters.last_lines,
    # Numbers, times, and states.
    "dollars": template_filters.dollars,
    "as_text": headline_and_next_steps.as_text,
    "bar_name": bar_name,
    "duration": template_filters.duration,
    "full_stop": template_filters.full_stop,
    "lower_first": template_filters.lower_first,
    "moment": template_filters.moment,
    "number": template_filters.number,
    "sum_of_known": template_filters.sum_of_known,
    "percent": template_filters.percent,
    "plural": plural,
    "size": template_filters.size,
    # This function creates table rows in Python, because a template takes twice the time.
    "worker_row": worker_row,
}


class Templates:
    """The shipped templates, and the user's own templates. Templates must escape values by filters.

    Jinja escapes nothing automatically.
    """

    def __init__(self, template_dir: Path | None) -> None:
        shipped = FileSystemLoader(_SHIPPED)
        self._shipped = _environment(shipped)
        self._template_dir = template_dir
        self._own = (
            None
            if template_dir is None
            else _environment(ChoiceLoader([FileSystemLoader(template_dir), shipped]))
        )

    def prepare(self) -> None:
        for name in self._shipped.list_templates(extensions=["j2"]):
            self._shipped.get_template(name)

    def fill(self, name: str, context: Mapping[str, object]) -> str:
        """Return the text of the template ``name``, filled with the values in ``context``.

        If the user's template fails, fill the shipped template, and add a note on the error.
        """
        path = self._template_dir / name if self._template_dir else None
        if self._own is None or path is None or not path.exists():
            return _rendered(self._shipped, name, context)
        try:
            return _rendered(self._own, name, context)
        # An error in the user's template must not prevent the report.
        except Exception as error:
            return _fallback_note(path, error) + "\n\n" + _rendered(self._shipped, name, context)


def _rendered(environment: Environment, name: str, context: Mapping[str, object]) -> str:
    return environment.get_template(name).render(context).strip("\n") + "\n"


def _fallback_note(path: Path, error: Exception) -> str:
    line = getattr(error, "lineno", None)
    place = f"{path}:{line}" if line else str(path)
    reason = template_filters.inline(f"{type(error).__name__}: {error}")
    return (
        f"> **Your template {template_filters.code(place)} could not be used:** {reason}\n"
        "> This report uses the built-in template."
    )


#: Options of Jinja environments. Automatic escaping is off, because it is for HTML: filters escape
#: text for Markdown. The optimizer is off, because it would store results of filters in compiled
#: templates. These stored results would be wrong after a change of a filter.
_OPTIONS: Mapping[str, Any] = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "keep_trailing_newline": True,
    "autoescape": False,
    "optimized": False,
}


class _CompiledTemplates(BytecodeCache):
    """The compiled templates, shared by all Jinja environments.

    Compiled shipped templates are also stored on disk, next to their sources. Compiling these
    templates takes 0.25 s, which is most of the time of a server's first job.
    """

    def __init__(self, shipped: Path) -> None:
        self._code: dict[tuple[str, str], CodeType] = {}
        self._shipped = shipped

    def get_source_checksum(self, source: str) -> str:
        return super().get_source_checksum(f"{bc_magic!r}{dict(_OPTIONS)}{source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum)) or self._read(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._code = {**self._code, (bucket.key, bucket.checksum): bucket.code}
        is_shipped = Path(bucket.code.co_filename).parent == self._shipped
        if is_shipped and not sys.dont_write_bytecode:
            with suppress(OSError):  # The user may have no permission to change the installation.
                self._write(bucket)

    def _read(self, bucket: Bucket) -> CodeType | None:
        checksum = bucket.checksum.encode()
        with suppress(OSError, EOFError, ValueError, TypeError):
            stored = self._path(bucket).read_bytes()
            if stored.startswith(checksum):
                return cast(CodeType, marshal.loads(stored[len(checksum) :]))
        return None

    def _write(self, bucket: Bucket) -> None:
        path = self._path(bucket)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        unfinished.write_bytes(bucket.checksum.encode() + marshal.dumps(bucket.code))
        unfinished.replace(path)

    def _path(self, bucket: Bucket) -> Path:
        return self._shipped / "__pycache__" / f"{bucket.key}.{sys.implementation.cache_tag}"


_SHIPPED = Path(str(resources.files("orchestrator.reports") / "templates"))
_COMPILED = _CompiledTemplates(_SHIPPED)


@cache
def _public_names(kind: type) -> frozenset[str]:
    if not is_dataclass(kind):
        return frozenset()
    names = {name for name, member in getmembers_static(kind) if isinstance(member, property)}
    names.update(each.name for each in fields(kind))
    return frozenset(each for each in names if not each.startswith("_"))


class _Sandbox(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        # The product's dataclasses are frozen, so a check of the attribute's name is sufficient.
        # The full check of every attribute took half of the time of a large report.
        if attribute in _public_names(obj.__class__):
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        # The filter ``selectattr`` gets attributes through this method.
        if argument in _public_names(obj.__class__):
            return getattr(obj, argument)
        return super().getitem(obj, argument)


def _environment(loader: BaseLoader) -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(
        loader=loader,
        bytecode_cache=_COMPILED,
        undefined=StrictUndefined,
        **_OPTIONS,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(
        headline=headline_and_next_steps.headline,
        shell=template_filters.shell,
        command=COMMAND,
        is_installed=IS_INSTALLED,
    )
    return environment
