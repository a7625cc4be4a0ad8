"""The roles of the settings: their names, and their texts as agents get them."""

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.agents.prompts.role_prompts import Role, RolePrompts
from orchestrator.config import load, roles_directory


def roles(folder: Path) -> Sequence[Role]:
    settings = load(folder, environ=os.environ).settings
    return RolePrompts(roles_directory(settings, folder)).roles()


def role_text(folder: Path, name: str) -> str:
    """Return the text of the role ``name``, as an agent gets it.

    Raise UnknownRole if the role does not exist.
    """
    settings = load(folder, environ=os.environ).settings
    prompts = RolePrompts(roles_directory(settings, folder))
    prompts.check(name)
    return prompts.text(name)
