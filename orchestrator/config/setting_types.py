"""Names and types of the settings, read from the settings' classes.

Every start needs the names and types. The JSON schema also has them, but building the schema would
take a tenth of the start's time.
"""

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import SecretStr

from orchestrator.config.settings import Settings
from orchestrator.config.yaml.key_paths import KeyPath

_TEXT = (str, Path, SecretStr)


def setting_paths() -> list[tuple[str, str]]:
    """Return (section, key) of every setting whose name the product defines.

    Entries below ``agents`` and ``triggers`` are omitted, because users choose their names.
    """
    return [
        (section, key)
        for section, field in Settings.model_fields.items()
        for key in _fields(field.annotation)
    ]


def is_text(path: KeyPath) -> bool:
    """True if the setting at ``path`` is text.

    The value of such a setting must not be read as YAML: ``on`` would become True.
    """
    kinds = _kinds(path) - {NoneType}
    return bool(kinds) and all(isinstance(each, type) and issubclass(each, _TEXT) for each in kinds)


def is_optional(path: KeyPath) -> bool:
    return NoneType in _kinds(path)


def _fields(section: Any) -> Any:
    return getattr(section, "model_fields", {})


def _kinds(path: KeyPath) -> set[Any]:
    section, key = path
    fields = Settings.model_fields
    field = _fields(fields[str(section)].annotation).get(key) if section in fields else None
    if not field:
        return set()
    kind = field.annotation
    choices = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return {_bare_type(each) for each in choices}


def _bare_type(kind: Any) -> Any:
    """Return a type without its constraints and parameters: ``list`` for ``list[int]``."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return get_origin(kind) or kind
