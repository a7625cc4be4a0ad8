"""Base class of pydantic models in which the string below a field is the field's description.

The descriptions are read from the source files when a schema is first needed. pydantic's
``use_attribute_docstrings`` would read all descriptions when a class is created. This would take a
tenth of the server's startup time.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar


class DescribedFields:
    """Base class of pydantic models whose JSON schema contains the descriptions of the fields."""

    __pydantic_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def description_of(cls, name: str) -> str | None:
        description: str | None = cls.__pydantic_fields__[name].description
        return _descriptions_of(cls).get(name) if description is None else description

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any, /) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in cls.__pydantic_fields__.items():
            description = cls.description_of(name)
            aliases = (field.serialization_alias, field.validation_alias, field.alias, name)
            key = next((each for each in aliases if each in properties), None)
            if key is None or description is None:
                continue
            # Omit a description that equals the description of the referenced model.
            if handler.resolve_ref_schema(properties[key]).get("description") != description:
                properties[key]["description"] = description
        return schema


def _descriptions_of(kind: type) -> Mapping[str, str]:
    descriptions: dict[str, str | None] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, DescribedFields):
            descriptions |= _described_classes(each.__module__).get(each.__qualname__, {})
    return {name: text for name, text in descriptions.items() if text is not None}


@cache
def _described_classes(module: str) -> Mapping[str, Mapping[str, str | None]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return {}  # The package was installed without sources
    return {each.name: _fields_of(each) for each in tree.body if isinstance(each, ast.ClassDef)}


def _fields_of(kind: ast.ClassDef) -> Mapping[str, str | None]:
    descriptions: dict[str, str | None] = {}
    for statement, following in zip(kind.body, [*kind.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            descriptions[statement.target.id] = _string_of(following)
    return descriptions


def _string_of(statement: ast.stmt | None) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        text = statement.value.value
        return inspect.cleandoc(text) if isinstance(text, str) else None
    return None
