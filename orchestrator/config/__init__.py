"""Declares and loads the settings. Errors name the file, the line, and the expected value.

- ``fields``: Types and checks of the settings' values, and the base class of sections
- ``sections``: One module for each section of the settings, with defaults, bounds, and descriptions
- ``yaml``: Reads the text of ``config.yaml``, gives each value a path, and adds an API key

The names in ``__all__`` are imported on first use, because the modules of the settings take long to
import. A command that only starts the server's process reads a few values without these modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.config.fields.value_types import Processors
    from orchestrator.config.loading import Loaded, load
    from orchestrator.config.project_discovery import (
        Project,
        project_of,
        project_root,
        roles_directory,
    )
    from orchestrator.config.sections.agents import UserAgent
    from orchestrator.config.sections.workers import ModelPrice
    from orchestrator.config.settings import Settings
    from orchestrator.config.template_and_schema import (
        render_schema,
        render_starter,
        render_template,
        visible,
    )
    from orchestrator.config.yaml.key_paths import FILE_NAME

#: Module that defines each exported name.
_HOMES = {
    "FILE_NAME": "yaml.key_paths",
    "Loaded": "loading",
    "ModelPrice": "sections.workers",
    "Processors": "fields.value_types",
    "Project": "project_discovery",
    "Settings": "settings",
    "UserAgent": "sections.agents",
    "load": "loading",
    "project_of": "project_discovery",
    "project_root": "project_discovery",
    "render_schema": "template_and_schema",
    "render_starter": "template_and_schema",
    "render_template": "template_and_schema",
    "roles_directory": "project_discovery",
    "visible": "template_and_schema",
}

__all__ = [
    "FILE_NAME",
    "Loaded",
    "ModelPrice",
    "Processors",
    "Project",
    "Settings",
    "UserAgent",
    "load",
    "project_of",
    "project_root",
    "render_schema",
    "render_starter",
    "render_template",
    "roles_directory",
    "visible",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
