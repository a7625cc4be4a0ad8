"""Keeps tools of workers from reading settings above the workspace.

A tool that searches parent directories would find the settings of the product and of the project.
Files in the workspace's top directory end such a search; environment variables end the search of
some tools.
"""

import logging
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.security.files.untrusted_files import read_regular

logger = logging.getLogger(__name__)

_NONE = "the search for settings ends at the orchestrator's workspace"
#: Content of each file that ends a tool's search, by file name. With the file, a tool behaves as in
#: a project without settings: the tool uses its defaults, or fails.
FILES: Mapping[str, str] = {
    "pytest.ini": "[pytest]\n",
    "ruff.toml": "",
    "mypy.ini": "[mypy]\n",
    # black, isort, uv, poetry
    "pyproject.toml": "[tool.black]\n[tool.isort]\n[tool.uv]\nmanaged = false\n",
    ".flake8": "[flake8]\n",
    ".editorconfig": "root = true\n",
    "eslint.config.mjs": f'throw new Error("no ESLint configuration: {_NONE}")\n',
    ".eslintrc.json": '{"root": true}\n',
    ".prettierrc": "{}\n",
    "jest.config.cjs": f'throw new Error("no Jest configuration: {_NONE}")\n',
    "tsconfig.json": '{"files": []}\n',
    # Because of this file, npm and pnpm do not install packages here. Node.js reads the module type
    # of scripts from this file.
    "package.json": (
        '{"private": true, "devEngines": {"packageManager": '
        '{"name": "none-here", "onFail": "error"}}}\n'
    ),
    "yarn.lock": "",
    "Cargo.toml": '[workspace]\nmembers = []\nexclude = ["."]\n',
    # The same content as the file ``go.mod`` of the portable folder, which hides the folder from Go
    # in the user's project.
    "go.mod": (
        "// Files of workers in this directory are not part of the host project. Because of this "
        "file, `go vet ./...` in the project skips them.\nmodule workspace\n"
    ),
}
_MOST_BYTES = 1 << 20
#: Files that pytest uses even if they have no section for pytest.
_PYTEST_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_PYTEST_SECTIONS = {"tox.ini": b"[pytest]", "setup.cfg": b"[tool:pytest]"}


def write(workspace: Path) -> None:
    """Write ``FILES`` to the workspace's top directory, where they end the searches of tools.

    Idempotent. Incomplete files are replaced. If a file cannot be written, for example because the
    disk is full, only a warning is logged.
    """
    for name, text in FILES.items():
        if read_regular(workspace / name, _MOST_BYTES) != text.encode():
            try:
                (workspace / name).write_text(text, "utf-8")
            except OSError:
                logger.warning(
                    "cannot write a file that ends searches for settings",
                    extra={"file": name},
                    exc_info=True,
                )


def variables(workspace: Path) -> dict[str, str]:
    """Return the variables that end the searches of tools, for all workers and gates."""
    paths = dict.fromkeys((str(workspace), os.path.realpath(workspace)))
    environment = {
        # Ends the search of git if a worker has removed the file .git of its worktree.
        "GIT_CEILING_DIRECTORIES": os.pathsep.join(paths),
        # Without this setting, Go runs git for the repository that contains the workspace, and
        # fails if git finds no repository.
        "GOFLAGS": "-buildvcs=false",
    }
    if any(
        os.path.exists(directory / "go.work") for directory in Path(workspace).resolve().parents
    ):
        environment["GOWORK"] = "off"
    return environment


#: Settings of workers' git. Git does not sign, because a passphrase prompt would wait forever. Git
#: writes logs of refs, because a log shows which worker moved the ref.
_GIT_SETTINGS = {
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "core.logAllRefUpdates": "always",
}


def git_settings(environment: Mapping[str, str], more: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the variables that give a worker its git settings.

    The git settings in the variables ``environment`` come first, then the settings of this module,
    then ``more``: names and values of further settings. A name may occur several times.
    """
    count = environment.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdigit() else 0
    settings = [*_GIT_SETTINGS.items(), *more]
    git_variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (name, value) in enumerate(settings, first):
        git_variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return git_variables


def variables_of(worktree: str, cwd: str) -> dict[str, str]:
    """Return the variables that keep Go and pytest from using a directory above a worktree.

    If a directory from ``cwd`` up to the worktree's top has settings for a tool, the tool searches
    no further, and so needs no such variable.
    """
    directories = list(_directories_up(cwd, worktree))
    has_own = any(os.path.exists(f"{directory}/go.work") for directory in directories)
    environment = {"GOWORK": "" if has_own else "off"}
    if not any(map(_configures_pytest, directories)):
        # Set pytest's root. By default, pytest would search parent directories for settings, find
        # ``pytest.ini`` in the workspace's top directory, and use this directory as its root. The
        # ids of tests would then be relative to this directory.
        environment["PYTEST_ADDOPTS"] = "--rootdir=."
    return environment


def _directories_up(cwd: str, top: str) -> Iterator[str]:
    directory = cwd
    while directory != top and directory.startswith(f"{top}/"):
        yield directory
        directory = os.path.dirname(directory)
    yield top


def _configures_pytest(directory: str) -> bool:
    if any(os.path.isfile(f"{directory}/{name}") for name in _PYTEST_FILES):
        return True
    for name, section in _PYTEST_SECTIONS.items():
        if section in (read_regular(Path(directory, name), _MOST_BYTES) or b""):
            return True
    text = read_regular(Path(directory, "pyproject.toml"), _MOST_BYTES) or b""
    try:
        return b"pytest" in text and "pytest" in tomllib.loads(text.decode()).get("tool", {})
    except (ValueError, RecursionError, AttributeError, TypeError):
        return False
