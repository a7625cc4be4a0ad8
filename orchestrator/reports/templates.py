"""Jinja templates: a user's own template takes precedence over the shipped one of the same name."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    BytecodeCache,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
)
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator import IS_INSTALLED
from orchestrator.core.command_name import COMMAND
from orchestrator.reports import escaping, wording
from orchestrator.reports.summary import as_text
from orchestrator.reports.template_values import bar_name

_FILTERS: Mapping[str, Callable[..., str]] = {
    # Texts of users and workers.
    "cell": escaping.cell,
    "code": escaping.code,
    "document": escaping.document,
    "fence": escaping.fence,
    "href": escaping.href,
    "inline": escaping.inline,
    "last_lines": escaping.last_lines,
    # Numbers, times, and states.
    "dollars": wording.dollars,
    "as_text": as_text,
    "bar_name": bar_name,
    "duration": wording.duration,
    "lower_first": wording.lower_first,
    "moment": wording.moment,
    "number": wording.number,
    "of_those_that_know": wording.of_those_that_know,
    "percent": wording.percent,
    "plural": wording.plural,
    "size": wording.size,
}


class Templates:
    """Renders templates. Text is not escaped automatically: each value needs a filter."""

    def __init__(self, template_dir: Path | None) -> None:
        shipped = FileSystemLoader(str(resources.files("orchestrator.reports") / "templates"))
        self._shipped = _environment(shipped)
        self._template_dir = template_dir
        self._own = (
            None
            if template_dir is None
            else _environment(ChoiceLoader([FileSystemLoader(template_dir), shipped]))
        )

    def prepare(self) -> None:
        """Compile the shipped templates now, not while the first job waits for its report."""
        for name in self._shipped.list_templates():
            self._shipped.get_template(name)

    def fill(self, name: str, context: Mapping[str, object]) -> str:
        """Return the page. If the user's template fails, use the shipped one, and add a note."""
        own = self._template_dir / name if self._template_dir else None
        if self._own is None or own is None or not own.exists():
            return _filled(self._shipped, name, context)
        try:
            return _filled(self._own, name, context)
        # An error in the user's template must not prevent the report.
        except Exception as error:
            return _note(own, error) + "\n\n" + _filled(self._shipped, name, context)


def _filled(environment: Environment, name: str, context: Mapping[str, object]) -> str:
    return environment.get_template(name).render(context).strip("\n") + "\n"


def _note(path: Path, error: Exception) -> str:
    line = getattr(error, "lineno", None)
    place = f"{path}:{line}" if line else str(path)
    reason = escaping.inline(f"{type(error).__name__}: {error}")
    return (
        f"> **Your template {escaping.code(place)} could not be used:** {reason}\n"
        "> This report was made with the template that comes with the product."
    )


class _CompiledTemplates(BytecodeCache):
    """The compiled templates of this process, by name, path, and content.

    All environments share them, because compiling takes a quarter of a second, most of a small
    report's time.
    """

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code = {**self._code, (bucket.key, bucket.checksum): bucket.bytecode_to_string()}


_COMPILED = _CompiledTemplates()


class _Sandbox(ImmutableSandboxedEnvironment):
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        # Values for templates are frozen and built in, and checking every attribute took half of
        # the time of a large report.
        if is_dataclass(obj):
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)


def _environment(loader: BaseLoader) -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(
        loader=loader,
        bytecode_cache=_COMPILED,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Markdown is not HTML: the filters above escape it.
        autoescape=False,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(
        headline=wording.headline,
        shell=escaping.shell,
        command=COMMAND,
        is_installed=IS_INSTALLED,
    )
    return environment
