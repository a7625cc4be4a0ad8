"""Reads YAML text as plain values, with the position of each key and list item."""

from dataclasses import field

import yaml

from orchestrator.config.yaml.key_paths import KeyPath, dotted
from orchestrator.core.lazy_dataclass import dataclass

TAG = "tag:yaml.org,2002:"
#: PyYAML's messages for problems.
_NO_COLON = "could not find expected ':'"
_NO_END = "found unexpected end of stream"
_ANOTHER_DOCUMENT = "but found another document"
#: Names of types in messages, by YAML's name of the type.
_KINDS = {"int": "whole number", "float": "number", "bool": "boolean"}
SCALAR_TAGS = {f"{TAG}{name}" for name in ("null", "bool", "int", "float", "str", "timestamp")}


@dataclass(frozen=True)
class Position:
    """A position in a text. Line and column start at 1."""

    line: int
    column: int


@dataclass
class YamlText:
    """The value of a YAML text, and its errors. ``faults``: (position, reason) of each error."""

    value: object = None
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    faults: list[tuple[Position, str]] = field(default_factory=list)


def read_yaml(text: str) -> YamlText:
    """Read a YAML text. Never raises: errors are in the result's ``faults``."""
    result = YamlText()
    loader = None
    try:
        loader = _PlainLoader(text)
        node = loader.get_single_node()
        result.value = None if node is None else _Reader(loader, result).value(node, ())
    except yaml.reader.ReaderError as error:
        result.faults.append((_position_of_offset(text, error.position), _unprintable(error)))
    except yaml.MarkedYAMLError as error:
        result.faults.append((_position(_cause(error)), _syntax_fault(text, error)))
    except RecursionError:
        result.faults.append((Position(1, 1), "lists or mappings are nested too deeply"))
    except (ValueError, OverflowError):
        # PyYAML raises these errors for an escaped character outside of Unicode, and for a version
        # with very many digits.
        mark = loader.get_mark() if loader else None
        reason = "not valid YAML: a number in an escape sequence or a directive is too large"
        result.faults.append((_position(mark), reason))
    return result


class _PlainLoader(yaml.SafeLoader):
    """A YAML loader that rejects aliases.

    No setting needs an alias, and nested aliases can multiply the size of a value.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            reason = "an alias (*name); write the value instead"
            raise yaml.composer.ComposerError(None, None, reason, alias.start_mark)
        return super().compose_node(parent, index)


class _Reader:
    def __init__(self, loader: _PlainLoader, result: YamlText) -> None:
        self._loader = loader
        self._result = result

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._list_item(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _list_item(self, node: yaml.Node, path: KeyPath) -> object:
        self._result.positions[path] = _position(node.start_mark)
        return self.value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            value = self.value(value_node, (*path, key))
            values.setdefault(key, value)
        return values

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(node, "a key must be plain text")
            return None
        key = str(node.value)
        first_position = self._result.positions.setdefault((*path, key), _position(node.start_mark))
        if first_position != _position(node.start_mark):
            name = dotted((*path, key))
            self._fault(node, f"{name}: set twice (first in line {first_position.line})")
            return None
        return key

    def _scalar(self, node: yaml.Node) -> object:
        if node.tag not in SCALAR_TAGS:
            self._fault(node, f"unknown tag {node.tag.replace(TAG, '!!')}")
            return None
        if node.tag == f"{TAG}timestamp":
            return str(node.value)
        try:
            value: object = self._loader.construct_object(node)
        except (ValueError, OverflowError, KeyError, AttributeError, yaml.YAMLError):
            kind = node.tag.removeprefix(TAG)
            self._fault(node, f"not a valid {_KINDS.get(kind, kind)}")
            return None
        return value

    def _fault(self, node: yaml.Node, reason: str) -> None:
        self._result.faults.append((_position(node.start_mark), reason))


def _position(mark: yaml.Mark | None) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


def _position_of_offset(text: str, offset: int) -> Position:
    preceding_text = text[:offset]
    return Position(preceding_text.count("\n") + 1, offset - (preceding_text.rfind("\n") + 1) + 1)


def _unprintable(error: yaml.reader.ReaderError) -> str:
    code = error.character if isinstance(error.character, int) else ord(error.character)
    return f"not valid YAML: the character U+{code:04X} is not allowed"


def _cause(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    # PyYAML reports these two errors at a later line than the line with the mistake.
    is_late = error.problem in (_NO_COLON, _NO_END)
    return error.context_mark if is_late and error.context_mark else error.problem_mark


def _syntax_fault(text: str, error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "cannot be read"
    if "'\\t'" in problem:
        return "not valid YAML: a tab; indent with spaces"
    if problem.startswith("mapping values") and _is_second_colon(text, error.problem_mark):
        return "not valid YAML: a second ':' on the line; put text that contains ': ' in quotes"
    if problem.startswith("mapping values"):
        advice = "add a ':' to the line above, or indent this line less"
        return f"not valid YAML: does not fit the line above; {advice}"
    if problem.startswith("expected <block end>"):
        return "not valid YAML: indented differently from its neighboring lines"
    if problem == _NO_END:
        return "not valid YAML: a quote that is not closed"
    if problem == _NO_COLON:
        return "not valid YAML: a line without ':'; write key: value"
    if problem.endswith("'<stream end>'"):
        return "not valid YAML: the file ends too early; close each '[', '{', and quote"
    if problem == _ANOTHER_DOCUMENT:
        return "not valid YAML: '---' starts a second document; remove this line"
    if problem.startswith("but "):
        problem = f"{error.context}, {problem}"
    return f"not valid YAML: {problem}"


def _is_second_colon(text: str, mark: yaml.Mark | None) -> bool:
    return mark is not None and ": " in text.splitlines()[mark.line][: mark.column]
