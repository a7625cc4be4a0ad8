"""The two templates of a prompt. An unknown name in a template is an error, not an empty text."""

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from orchestrator.core.text.formatting import fence, one_line


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
