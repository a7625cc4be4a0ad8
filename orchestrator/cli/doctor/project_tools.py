"""Doctor's check that the project's tools, such as linters, do not read the product's folder.

Some tools skip the folder because it contains certain files: ``pyvenv.cfg`` and ``bin/activate``
for pytest and pyright, a file with ``[tool.ruff]`` for ruff, and ``workspace/go.mod`` for go. Any
other tool needs a line in the project's settings. This module checks if the line exists.
"""

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.core.lazy_dataclass import dataclass

_READ_BYTES = 1 << 20
_JSON_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")


@dataclass(frozen=True, slots=True)
class MissingLine:
    """A line that the user should add to a settings file, such as to ``pyproject.toml``."""

    file: Path
    #: Position of the line in the file, such as ``, under [tool.mypy]``.
    position: str
    text: str


#: Returns the line to add; None if no line is missing. Arguments: a directory in which a tool is
#: called, and the folder's path relative to this directory.
Finder = Callable[[Path, str], MissingLine | None]


def host_checks(folder: Path, project: Path) -> Iterator[HealthCheck]:
    """Yield a warning for each tool of the project that reads the folder.

    Yield nothing if the folder is the project.
    """
    folder = folder.resolve()
    for directory in _directories_with_tools(folder, project.resolve()):
        name = folder.relative_to(directory).as_posix()
        for tool, find in _TOOLS.items():
            if line := find(directory, name):
                yield HealthCheck(
                    name=f"host {tool}",
                    ok=None,
                    message=(
                        f"{tool} also reads orchestrator's folder; "
                        f"exclude the folder in {line.file.name}"
                    ),
                    fix=f"in {line.file}{line.position}: {line.text}",
                )


def _directories_with_tools(folder: Path, project: Path) -> Sequence[Path]:
    """Return the directories in which the project's tools may run, and may read the folder.

    The directories are the project and its parents, up to the top of the project's repository. The
    result is empty if ``folder`` is not inside the project.
    """
    if project == folder or project not in folder.parents:
        return ()
    directories = (project, *project.parents)
    top = next((each for each in directories if (each / ".git").exists()), project)
    return directories[: directories.index(top) + 1]


def _mypy(directory: Path, name: str) -> MissingLine | None:
    if any(part.startswith(".") for part in name.split("/")):
        # mypy skips hidden directories.
        return None
    pattern = f"^{re.escape(name)}/"
    for file in ("mypy.ini", ".mypy.ini", "pyproject.toml", "setup.cfg"):
        section = _mypy_section(directory / file)
        if section is None:
            continue
        exclude = section.get("exclude")
        patterns = (exclude,) if isinstance(exclude, str) else _texts(exclude)
        if any(_matches(each, f"{name}/orchestrator/composition/") for each in patterns):
            return None
        if file == "pyproject.toml":
            excludes = ", ".join(f"'{each}'" for each in (*patterns, pattern))
            return MissingLine(directory / file, ", under [tool.mypy]", f"exclude = [{excludes}]")
        excludes = "|".join([*(f"(?:{each})" for each in patterns if each), pattern])
        return MissingLine(directory / file, ", under [mypy]", f"exclude = {excludes}")
    # mypy may run without settings. Then a dependency or mypy's cache shows that mypy is used here.
    if _names_dependency(directory, "mypy") or (directory / ".mypy_cache").is_dir():
        if (directory / "pyproject.toml").is_file():
            text = f"tool.mypy.exclude = ['{pattern}']"
            return MissingLine(directory / "pyproject.toml", ", as its first line", text)
        position = ", a new file, after the line [mypy]"
        return MissingLine(directory / "mypy.ini", position, f"exclude = {pattern}")
    return None


def _mypy_section(file: Path) -> Mapping[str, object] | None:
    text = _text(file)
    try:
        if file.name == "pyproject.toml":
            settings = tomllib.loads(text).get("tool", {}).get("mypy")
            return settings if isinstance(settings, dict) else None
        parser = configparser.RawConfigParser()
        parser.read_string(text)
        return dict(parser["mypy"]) if "mypy" in parser else None
    except (tomllib.TOMLDecodeError, configparser.Error, AttributeError):
        return None


def _matches(pattern: str, path: str) -> bool:
    # mypy skips a directory and all its subdirectories if the pattern matches the directory's path.
    # Therefore check each parent directory of ``path``.
    parts = path.split("/")
    prefixes = ("/".join(parts[:count]) + "/" for count in range(1, len(parts)))
    try:
        return any(re.search(pattern, prefix) for prefix in prefixes)
    except re.error:
        return False


def _eslint(directory: Path, name: str) -> MissingLine | None:
    if file := _first_match(directory, "eslint.config.*"):
        if _names_in(_text(file), "ignores", name) or _names_in(_text(file), "globalIgnores", name):
            return None
        return MissingLine(file, ", in the exported array", f'{{ ignores: ["{name}/"] }},')
    if _first_match(directory, ".eslintrc*"):
        return _line_to_ignore(directory, name, ".eslintignore")
    return None


def _prettier(directory: Path, name: str) -> MissingLine | None:
    settings = _first_match(directory, ".prettierrc*") or _first_match(
        directory, "prettier.config.*"
    )
    if (
        settings
        or (directory / ".prettierignore").exists()
        or _names_dependency(directory, "prettier")
    ):
        return _line_to_ignore(directory, name, ".prettierignore", ".gitignore")
    return None


def _line_to_ignore(directory: Path, name: str, *files: str) -> MissingLine | None:
    for file in files:
        for line in _text(directory / file).splitlines():
            if line.strip().removeprefix("/").removesuffix("*").rstrip("*/") == name:
                return None
    return MissingLine(directory / files[0], "", f"/{name}/")


def _tsc(directory: Path, name: str) -> MissingLine | None:
    file = directory / "tsconfig.json"
    if not file.is_file():
        return None
    settings = _json(_text(file))
    includes, excludes = _texts(settings.get("include")), _texts(settings.get("exclude"))
    if "include" not in settings:
        includes = () if "files" in settings else ("**/*",)
    if not any(_may_match(each, name) for each in includes):
        return None
    if any(each.removeprefix("./").rstrip("*/") in (name, f"**/{name}") for each in excludes):
        return None
    # If the file has a list of exclusions, tsc ignores its default exclusions.
    effective_excludes = excludes or ("node_modules",)
    entries = ", ".join(f'"{each}"' for each in (*effective_excludes, name))
    return MissingLine(file, "", f'"exclude": [{entries}],')


def _may_match(include: str, name: str) -> bool:
    first = include.removeprefix("./").split("/")[0]
    return not first or first == "." or "*" in first or first == name.split("/")[0]


def _cargo(directory: Path, name: str) -> MissingLine | None:
    file = directory / "Cargo.toml"
    try:
        workspace = tomllib.loads(_text(file)).get("workspace")
    except tomllib.TOMLDecodeError:
        return None
    workspace = workspace if isinstance(workspace, dict) else {}
    members, excludes = _texts(workspace.get("members")), _texts(workspace.get("exclude"))
    if name in excludes or not any(fnmatch(name, each) for each in members):
        return None
    entries = ", ".join(f'"{each}"' for each in (*excludes, name))
    return MissingLine(file, ", under [workspace]", f"exclude = [{entries}]")


def _jest(directory: Path, name: str) -> MissingLine | None:
    text = f'modulePathIgnorePatterns: ["<rootDir>/{name}/"],'
    if file := _first_match(directory, "jest.config.*"):
        if _names_in(_text(file), "modulePathIgnorePatterns", name):
            return None
        return MissingLine(file, ", in the exported object", text)
    file = directory / "package.json"
    package = _json(_text(file))
    settings = package.get("jest")
    if isinstance(settings, dict):
        ignored = _texts(settings.get("modulePathIgnorePatterns"))
        if any(name in each for each in ignored):
            return None
        quoted = text.replace("modulePathIgnorePatterns", '"modulePathIgnorePatterns"')
        return MissingLine(file, ', under "jest"', quoted)
    if _names_dependency(directory, "jest"):
        value = json.dumps({"modulePathIgnorePatterns": [f"<rootDir>/{name}/"]})
        return MissingLine(file, "", f'"jest": {value},')
    return None


_TOOLS: Mapping[str, Finder] = {
    "mypy": _mypy,
    "eslint": _eslint,
    "prettier": _prettier,
    "tsc": _tsc,
    "cargo": _cargo,
    "jest": _jest,
}


def _names_dependency(directory: Path, tool: str) -> bool:
    package = _json(_text(directory / "package.json"))
    for kind in ("dependencies", "devDependencies"):
        dependencies = package.get(kind)
        if isinstance(dependencies, dict) and tool in dependencies:
            return True
    files = ["pyproject.toml", "setup.cfg", "tox.ini", ".pre-commit-config.yaml"]
    files += [each.name for each in sorted(directory.glob("*requirements*.txt"))]
    word = re.compile(rf"(?<![\w.-]){tool}(?![\w.])")
    return tool == "mypy" and any(word.search(_text(directory / each)) for each in files)


def _names_in(text: str, setting: str, name: str) -> bool:
    """True if the list ``setting`` in ``text`` has the path ``name``.

    ``text``: content of a JavaScript file.
    """
    lists = re.findall(rf"{setting}\s*[:(]\s*\[([^\]]*)\]", text)
    return any(re.search(rf"[\"'`/>]{re.escape(name)}[\"'`/*]", each) for each in lists)


def _first_match(directory: Path, pattern: str) -> Path | None:
    return next(iter(sorted(directory.glob(pattern))), None)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _json(text: str) -> Mapping[str, object]:
    """Return the object in a JSON text; an empty object if the text is invalid or has no object.

    Comments and trailing commas are allowed.
    """
    text = _JSON_COMMENT.sub(lambda match: match[1] or "", text)
    try:
        document = json.loads(_TRAILING_COMMA.sub("", text) or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
