"""Recognizes configuration files; reads dependencies and entry points from manifests.

An invalid manifest raises no error, and has no dependencies and no entry points.
"""

import configparser
import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from orchestrator.agents.survey.analysis.result import DependencyRow, EntryPointRow

ManifestRows = Iterator[DependencyRow | EntryPointRow]

_REQUIREMENT = re.compile(
    r"^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*([<>=!~@(][^;#\\]*)?\s*(?:[;#\\].*)?$"
)
_GEM = re.compile(r"""^\s*gem\s+['"]([^'"]+)['"](?:\s*,\s*['"]([^'"]+)['"])?""", re.MULTILINE)
_GO_REQUIREMENT = re.compile(r"^(?:require\s+|\t)([\w./~-]+)\s+(v[^\s]+)", re.MULTILINE)
_DOCKER_START = re.compile(r"^\s*(CMD|ENTRYPOINT)\s+(.+)$", re.MULTILINE | re.IGNORECASE)
_DOCKER_IMAGE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE | re.IGNORECASE)
_PACKAGE_REFERENCE = re.compile(r'<PackageReference\s+Include="([^"]+)"(?:\s+Version="([^"]+)")?')
_PROCESS = re.compile(r"^([\w-]+):\s*(.+)$", re.MULTILINE)

#: Purposes of configuration files, by the file's name or its ending. The first match counts.
_CONFIG_KINDS: tuple[tuple[str, str], ...] = (
    (r"(?:^|/)\.github/workflows/[^/]+\.ya?ml$", "continuous integration"),
    (
        r"(?:^|/)(?:\.gitlab-ci\.yml|\.travis\.yml|azure-pipelines\.yml|Jenkinsfile)$",
        "continuous integration",
    ),
    (r"(?:^|/)\.circleci/config\.yml$", "continuous integration"),
    (
        r"(?:^|/)(?:pyproject\.toml|setup\.(?:py|cfg)|Cargo\.toml|package\.json|go\.mod|pom\.xml|"
        r"build\.gradle(?:\.kts)?|Gemfile|composer\.json|Pipfile|environment\.ya?ml|[^/]+\.gemspec|"
        r"[^/]+\.csproj|CMakeLists\.txt|MANIFEST\.in)$",
        "build and dependencies",
    ),
    (r"(?:^|/)requirements[^/]*\.(?:txt|in)$", "build and dependencies"),
    (r"(?:^|/)requirements/[^/]+\.(?:txt|in)$", "build and dependencies"),
    (r"(?:^|/)(?:[^/]*\.lock|package-lock\.json|pnpm-lock\.yaml|go\.sum)$", "lock file"),
    (
        r"(?:^|/)(?:Docker|Container)file(?:\.[^/]+)?$|(?:^|/)(?:docker-)?compose[^/]*\.ya?ml$",
        "container",
    ),
    (
        r"(?:^|/)(?:Makefile|GNUmakefile|justfile|Rakefile|Taskfile\.ya?ml|tox\.ini|noxfile\.py|"
        r"Procfile|Vagrantfile|Gruntfile(?:\.js)?|gulpfile\.js)$",
        "tasks",
    ),
    (
        r"(?:^|/)(?:\.eslintrc[^/]*|eslint\.config\.\w+|\.prettierrc[^/]*|\.flake8|\.pylintrc|"
        r"mypy\.ini|ruff\.toml|\.pre-commit-config\.yaml|\.editorconfig|\.rubocop\.yml|"
        r"\.golangci\.ya?ml|rustfmt\.toml|biome\.json|tsconfig[^/]*\.json)$",
        "code style and types",
    ),
    (
        r"(?:^|/)(?:pytest\.ini|conftest\.py|jest\.config\.\w+|vitest\.config\.\w+|\.coveragerc|"
        r"karma\.conf\.js|playwright\.config\.\w+)$",
        "tests",
    ),
    (r"(?:^|/)(?:\.env[^/]*|[^/]+\.(?:ini|cfg|conf|toml|properties|tf))$", "settings"),
    (r"^[^/]+\.ya?ml$|(?:^|/)(?:config|settings)[^/]*\.(?:ya?ml|json)$", "settings"),
)
_COMPILED_KINDS = tuple((re.compile(pattern), kind) for pattern, kind in _CONFIG_KINDS)


def config_kind(path: str) -> str | None:
    """Return the purpose of a configuration file; None for any other file."""
    return next((kind for pattern, kind in _COMPILED_KINDS if pattern.search(path)), None)


def is_manifest(path: str) -> bool:
    """True if the file may name dependencies or entry points."""
    return _reader(path) is not None


def read_manifest(path: str, text: str) -> list[DependencyRow | EntryPointRow]:
    reader = _reader(path)
    try:
        return list(reader(path, text)) if reader is not None else []
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return []
    except (configparser.Error, ElementTree.ParseError):
        return []


def _pyproject(path: str, text: str) -> ManifestRows:
    content = tomllib.loads(text)
    project = content.get("project", {})
    yield from _requirements(path, project.get("dependencies", []), "")
    groups = {**project.get("optional-dependencies", {}), **content.get("dependency-groups", {})}
    for group, lines in groups.items():
        yield from _requirements(path, lines, group)
    build = content.get("build-system", {}).get("requires", [])
    yield from _requirements(path, build, "build")
    poetry = content.get("tool", {}).get("poetry", {})
    yield from _table(path, "Python", poetry.get("dependencies", {}), "")
    for table in (project.get("scripts"), project.get("gui-scripts"), poetry.get("scripts")):
        for name, target in (table or {}).items():
            yield EntryPointRow("console script", name, path, 0, str(target))


def _setup_cfg(path: str, text: str) -> ManifestRows:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    lines = parser.get("options", "install_requires", fallback="").splitlines()
    yield from _requirements(path, lines, "")
    scripts = parser.get("options.entry_points", "console_scripts", fallback="")
    for line in scripts.splitlines():
        name, equals, target = line.partition("=")
        if equals:
            yield EntryPointRow("console script", name.strip(), path, 0, target.strip())


def _requirements_file(path: str, text: str) -> ManifestRows:
    yield from _requirements(path, text.splitlines(), PurePosixPath(path).stem)


def _requirements(path: str, lines: Any, group: str) -> ManifestRows:
    for line in lines:
        match = _REQUIREMENT.match(line) if isinstance(line, str) else None
        if match:
            yield DependencyRow(path, "Python", match[1], (match[2] or "").strip(), group)


def _table(path: str, ecosystem: str, table: dict[str, Any], group: str) -> ManifestRows:
    for name, value in table.items():
        version = value.get("version", "") if isinstance(value, dict) else value
        yield DependencyRow(path, ecosystem, name, str(version), group)


def _package_json(path: str, text: str) -> ManifestRows:
    content = json.loads(text)
    for field, group in (
        ("dependencies", ""),
        ("devDependencies", "dev"),
        ("peerDependencies", "peer"),
        ("optionalDependencies", "optional"),
    ):
        yield from _table(path, "npm", content.get(field) or {}, group)
    command = content.get("bin") or {}
    commands = {content.get("name", ""): command} if isinstance(command, str) else command
    for name, target in commands.items():
        yield EntryPointRow("npm command", str(name), path, 0, str(target))
    for name, target in (content.get("scripts") or {}).items():
        yield EntryPointRow("npm script", name, path, 0, str(target))


def _cargo(path: str, text: str) -> ManifestRows:
    content = tomllib.loads(text)
    for field, group in (
        ("dependencies", ""),
        ("dev-dependencies", "dev"),
        ("build-dependencies", "build"),
    ):
        yield from _table(path, "Cargo", content.get(field, {}), group)
    workspace = content.get("workspace", {}).get("dependencies", {})
    yield from _table(path, "Cargo", workspace, "workspace")
    for binary in content.get("bin", []):
        yield EntryPointRow("Cargo binary", binary["name"], path, 0, binary.get("path", ""))


def _go_mod(path: str, text: str) -> ManifestRows:
    for match in _GO_REQUIREMENT.finditer(text):
        yield DependencyRow(path, "Go", match[1], match[2])


def _pom(path: str, text: str) -> ManifestRows:
    if "<!ENTITY" in text:
        return  # Skip this file, because entities can expand to a text of any size.
    space = "{http://maven.apache.org/POM/4.0.0}"
    for node in ElementTree.fromstring(text.encode()).iter():
        if node.tag.removeprefix(space) == "dependency":
            values = {child.tag.removeprefix(space): child.text or "" for child in node}
            name = f"{values.get('groupId', '')}:{values.get('artifactId', '')}"
            version, scope = values.get("version", ""), values.get("scope", "")
            yield DependencyRow(path, "Maven", name, version, scope)


def _gemfile(path: str, text: str) -> ManifestRows:
    for match in _GEM.finditer(text):
        yield DependencyRow(path, "RubyGems", match[1], match[2] or "")


def _composer(path: str, text: str) -> ManifestRows:
    content = json.loads(text)
    yield from _table(path, "Composer", content.get("require") or {}, "")
    yield from _table(path, "Composer", content.get("require-dev") or {}, "dev")


def _csproj(path: str, text: str) -> ManifestRows:
    for match in _PACKAGE_REFERENCE.finditer(text):
        yield DependencyRow(path, "NuGet", match[1], match[2] or "")


def _dockerfile(path: str, text: str) -> ManifestRows:
    for match in _DOCKER_IMAGE.finditer(text):
        image, _colon, tag = match[1].partition(":")
        yield DependencyRow(path, "container image", image, tag)
    for match in _DOCKER_START.finditer(text):
        line = text.count("\n", 0, match.start(1)) + 1
        yield EntryPointRow("container", match[1].upper(), path, line, match[2].strip())


def _procfile(path: str, text: str) -> ManifestRows:
    for match in _PROCESS.finditer(text):
        yield EntryPointRow("process", match[1], path, 0, match[2].strip())


_READERS: tuple[tuple[re.Pattern[str], Callable[[str, str], ManifestRows]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reader)
    for pattern, reader in (
        (r"(?:^|/)pyproject\.toml$", _pyproject),
        (r"(?:^|/)setup\.cfg$", _setup_cfg),
        (
            r"(?:^|/)requirements[^/]*\.(?:txt|in)$|(?:^|/)requirements/[^/]+\.(?:txt|in)$",
            _requirements_file,
        ),
        (r"(?:^|/)package\.json$", _package_json),
        (r"(?:^|/)Cargo\.toml$", _cargo),
        (r"(?:^|/)go\.mod$", _go_mod),
        (r"(?:^|/)pom\.xml$", _pom),
        (r"(?:^|/)(?:Gemfile|[^/]+\.gemspec)$", _gemfile),
        (r"(?:^|/)composer\.json$", _composer),
        (r"\.csproj$", _csproj),
        (r"(?:^|/)(?:Docker|Container)file(?:\.[^/]+)?$", _dockerfile),
        (r"(?:^|/)Procfile$", _procfile),
    )
)


def _reader(path: str) -> Callable[[str, str], ManifestRows] | None:
    return next((reader for pattern, reader in _READERS if pattern.search(path)), None)
