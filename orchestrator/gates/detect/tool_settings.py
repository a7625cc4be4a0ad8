"""Finds the files with the settings of the tools that a gate's command runs."""

import re
from collections.abc import Iterator

from orchestrator.core.gates.gate import GateFiles
from orchestrator.gates.detect.called_scripts import (
    MAKEFILES,
    is_shell,
    mapping,
    package_of,
    scripts_in,
)
from orchestrator.gates.detect.javascript import CONFIGURED_BY

PYPROJECT, SETUP = "pyproject.toml", "setup.cfg"
PYTEST_FILES = (
    *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", PYPROJECT, SETUP),
    # Python runs these files at its start, or finds them before the installed packages.
    *("sitecustomize.py", "usercustomize.py", "*.pth", "*.egg-info", "*.dist-info"),
    *("/pytest.py", "/pytest/", "/_pytest/", "/pluggy/", "/unittest/", "/unittest.py"),
)
#: Matches the names of pytest's plugins in a configuration: ``addopts = -p checks.plugin``, and
#: ``pytest_plugins = ["a"]``.
_PLUGINS = re.compile(r"-p[ =]?['\"]?([A-Za-z_][\w.]*)|pytest_plugins\b[^=]*=([^\])\n]*)")
#: Patterns of the files with a tool's settings, by a pattern of the tool's name.
_SETTINGS = {
    r"pytest|py\.test|unittest": PYTEST_FILES,
    r"tox": ("tox.ini", PYPROJECT, SETUP),
    r"nox": ("noxfile.py",),
    r"ruff": (PYPROJECT, "ruff.toml", ".ruff.toml"),
    r"mypy": (PYPROJECT, "mypy.ini", ".mypy.ini", SETUP),
    r"make": (*MAKEFILES, "*.mk"),
    r"just": ("justfile", "Justfile", ".justfile"),
    r"npm|npx|pnpm|yarn|bun|jest|vitest|mocha|ava|eslint|prettier|biome|tsc": CONFIGURED_BY,
    r"cargo": (".cargo/config.toml", "rust-toolchain*"),
    r"rspec": (".rspec",),
    r"phpunit": ("phpunit.xml*",),
    r"pre-commit": (".pre-commit-config.yaml",),
}
_TOOLS = {re.compile(rf"(?<![\w-])(?:{name})(?![\w-])"): each for name, each in _SETTINGS.items()}
_MAKE = re.compile(r"(?<![\w-])make(?![\w-])")
_NPM = re.compile(r"(?<![\w-])(?:npm|pnpm|yarn|bun)(?![\w-])")


def settings_of(command: str, files: GateFiles) -> tuple[str, ...]:
    """Return patterns of the files that decide what ``command`` checks.

    These files are the scripts of the project that the command runs, and the settings of its tools.
    The commands in these scripts count, too. If the command runs ``make`` or npm, the commands in
    the makefile or in ``package.json`` also count.
    """
    scripts_called = [each.removeprefix("/") for each in scripts_in(command, files)]
    texts = [command, *(files.read(each) for each in scripts_called if is_shell(each, files))]
    if _MAKE.search(command):
        texts += [files.read(each) for each in MAKEFILES if each in files.names()]
    if _NPM.search(command):
        scripts = mapping(package_of(files), "scripts").values()
        texts += [each for each in scripts if isinstance(each, str)]
    patterns = [each for text in texts for each in scripts_in(text, files)]
    for tool, settings in _TOOLS.items():
        if any(map(tool.search, texts)):
            patterns += (*settings, *plugins(files)) if settings is PYTEST_FILES else settings
    return tuple(dict.fromkeys(patterns))


def plugins(files: GateFiles) -> Iterator[str]:
    """Yield patterns of the project's own modules that pytest loads as plugins."""
    paths = set(files.paths())
    texts = [files.read(each) for each in ("pytest.ini", PYPROJECT, SETUP, "tox.ini")]
    for match in _PLUGINS.finditer("\n".join([*texts, files.read("conftest.py")])):
        for module in re.findall(r"[A-Za-z_][\w.]*", match[1] or match[2]):
            path = f"{module.replace('.', '/')}.py"
            yield from (f"/{each}" for each in (path, f"src/{path}") if each in paths)
