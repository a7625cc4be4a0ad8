"""The section ``git``: worktrees, commits, and pushes."""

from typing import Annotated

from pydantic import Field

from orchestrator.config.fields.choices import Attempts, Author, Push
from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import MIB, Seconds, Size, Words

#: Patterns of dependencies, caches, and files of an editor or system.
NEVER_COMMIT = (
    *("node_modules/", ".venv/", "__pycache__/", "*.pyc", ".pytest_cache/", ".mypy_cache/"),
    *(".ruff_cache/", ".tox/", ".nox/", ".eggs/", ".gradle/", ".terraform/", ".parcel-cache/"),
    *(".ipynb_checkpoints/", ".DS_Store"),
)


class GitSection(Section):
    """Worktrees, commits, and pushes."""

    copy_ignored: Words = (".env", ".env.*", ".envrc")
    """Names or paths of git-ignored files and directories to copy into each worktree."""
    link_ignored: Words = ()
    """Names or paths of ignored files to link, not copy: fast, but workers change your files."""
    never_commit: Words = NEVER_COMMIT
    """Patterns (as in .gitignore) of new files that are not committed; []: commit all new files."""
    never_commit_over: Size | None = 10 * MIB
    """Maximum size of a new file to commit, in bytes or as in 10M; null: no limit."""
    setup: Words = ()
    """Bash commands to prepare new worktrees; if set, your installed packages are not linked."""
    setup_timeout: Seconds = 600.0
    """Timeout of all setup commands together, in seconds."""
    author: Annotated[Author, Field(strict=False)] = Author.WORKER
    """Author of landed commits: worker, or user (with Co-authored-by for the worker)."""
    attempts: Annotated[Attempts, Field(strict=False)] = Attempts.FOLD
    """Commits of an attempt that gates rejected: fold (into the next commit) or keep (separate)."""
    push: Annotated[Push, Field(strict=False)] = Push.OFF
    """Git pushes of AI agents: off (their push URLs are disabled) or on."""
