"""Which project the product works on."""

import os
from pathlib import Path

from orchestrator.config.settings import Settings


def project_root(settings: Settings, folder: Path) -> Path:
    """The host project of the product in ``folder``.

    What is configured; else the folder itself when it is a git clone and its parent is in no
    repository; else the folder's parent.
    """
    configured = settings.orchestrator.project_root
    if configured is not None:
        return configured
    folder = folder.resolve()
    stands_alone = _has_git(folder) and not any(_has_git(above) for above in folder.parents)
    return folder if stands_alone else folder.parent


def _has_git(directory: Path) -> bool:
    return os.path.lexists(directory / ".git")
