"""Settings: declares them, and loads them with errors that name file, line, and expected value.

- ``fields``: Types of settings, and the checks of their texts
- ``sections``: Sections of the settings that have lists of entries: agents, triggers, receivers
"""

from orchestrator.config.conflicts import is_loopback
from orchestrator.config.fields.kinds import Processors
from orchestrator.config.loading import Loaded, load
from orchestrator.config.project import Project, project_of, project_root, roles_directory
from orchestrator.config.rendering import render_schema, render_starter, render_template, visible
from orchestrator.config.sections.agents import UserAgent
from orchestrator.config.settings import ModelPrice, Settings
from orchestrator.config.sources import FILE_NAME

__all__ = [
    "FILE_NAME",
    "Loaded",
    "ModelPrice",
    "Processors",
    "Project",
    "Settings",
    "UserAgent",
    "is_loopback",
    "load",
    "project_of",
    "project_root",
    "render_schema",
    "render_starter",
    "render_template",
    "roles_directory",
    "visible",
]
