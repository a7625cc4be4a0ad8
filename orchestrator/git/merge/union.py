"""Union merge: decides in which files the added lines of both sides are kept.

Files that programs read must stay valid. Therefore JSON, TOML, YAML, XML, and Python files are
united only if the result can be parsed and has no duplicate names. Lock files are never united.
"""

import ast
import json
import re
import tomllib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from xml.parsers import expat

from orchestrator.git.merge.hunks import Lines, key

#: Lock files, which have checksums. A tool writes each of them as a whole.
_LOCKS = re.compile(
    r"(^|/)([^/]*\.lock|[^/]*-lock\.(json|ya?ml)|[^/]*\.lock\.(json|hcl)|npm-shrinkwrap\.json|"
    r"bun\.lockb|go\.work\.sum|Package\.resolved|gradle\.lockfile)$"
)
#: Files whose lines are a set. A line that both sides added occurs once.
_SETS = re.compile(
    r"(^|/)(\.[a-z]*ignore|\.gitattributes|\.mailmap|go\.sum|MANIFEST\.in|CODEOWNERS|AUTHORS|"
    r"CONTRIBUTORS|[^/]*requirements[^/]*\.(txt|in))$"
)
#: Files that are united even if both sides created them.
_OF_LINES = re.compile(r"\.(txt|log)$")
#: Matches imports: lines that a file needs only once.
_IMPORT = re.compile(
    rb"(import|from|use|using|open|include|#include|@import|require) ?[\w\s\"'<{(]"
)


def may_unite(path: str, *, is_new: bool) -> bool:
    """True if this file may be merged by keeping the added lines of both sides.

    ``is_new``: True if both sides created the file.
    """
    if _LOCKS.search(path):
        return False
    return not is_new or bool(_SETS.search(path) or _OF_LINES.search(path))


def united(path: str, ours: Lines, theirs: Lines) -> list[bytes]:
    """Return the union of the lines that two sides added at one place.

    The result has all lines of ``ours``, then the lines of ``theirs``. A line that both sides have
    occurs only once if it is an import, or if the file is a set of lines. If one side begins with
    all lines of the other side, return the longer side.
    """
    mine, others = [*map(key, ours)], [*map(key, theirs)]
    if others[: len(mine)] == mine:
        return [*theirs]
    if mine[: len(others)] == others:
        return [*ours]
    known, is_set = frozenset(mine), bool(_SETS.search(path))
    new = (line for line in theirs if key(line) not in known or not (is_set or _IMPORT.match(line)))
    return [*ours, *new]


def is_sound(path: str, content: bytes, sides: Sequence[bytes]) -> bool:
    """True if a united file can be parsed, or if one of the two sides cannot be parsed either."""
    check = _CHECKS.get(PurePosixPath(path).suffix.lower())
    if check is None:
        return True
    return _passes(check, content) or not all(_passes(check, each) for each in sides)


def _passes(check: Callable[[bytes], object], content: bytes) -> bool:
    try:
        check(content)
    except (ValueError, SyntaxError, RecursionError, MemoryError, expat.ExpatError):
        return False
    return True


def _check_json(content: bytes) -> None:
    json.loads(content, object_pairs_hook=_no_name_twice)


def _no_name_twice(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    _check_names(name for name, _ in pairs)
    return dict(pairs)


def _check_names(names: Iterable[object]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{name!r} occurs twice")
        seen.add(name)


def _check_toml(content: bytes) -> None:
    tomllib.loads(content.decode())


def _check_yaml(content: bytes) -> None:
    import yaml

    try:
        for node in yaml.compose_all(content, yaml.SafeLoader):
            _check_node(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _check_node(top: object) -> None:
    import yaml

    nodes, seen = [top], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_names(name.value for name, _ in node.value if isinstance(name.value, str))
            nodes += (value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def _check_xml(content: bytes) -> None:
    expat.ParserCreate().Parse(content, True)


def _check_python(content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(content)
    _check_scopes(tree)


def _check_scopes(tree: ast.Module) -> None:
    # The second of two functions or classes with the same name would replace the first.
    scopes: list[Sequence[ast.stmt]] = [tree.body]
    while scopes:
        body = scopes.pop()
        defined = [each for each in body if isinstance(each, _DEFINITIONS)]
        _check_names(each.name for each in defined if not each.decorator_list)
        scopes += (each.body for each in defined)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CHECKS: Mapping[str, Callable[[bytes], object]] = {
    ".json": _check_json,
    ".ipynb": _check_json,
    ".toml": _check_toml,
    ".yaml": _check_yaml,
    ".yml": _check_yaml,
    ".xml": _check_xml,
    ".svg": _check_xml,
    ".py": _check_python,
    ".pyi": _check_python,
}
