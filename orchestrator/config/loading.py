"""Loads the settings. A flag overrides the environment, which overrides the file.

All problems are reported together.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.config.cross_setting_checks import conflicts
from orchestrator.config.fields.section import Section
from orchestrator.config.layer import ConfigProblem, Layer, Origin, merged
from orchestrator.config.setting_types import setting_paths
from orchestrator.config.settings import NAMED, Settings
from orchestrator.config.sources import (
    SECRETS,
    read_environment,
    read_file,
    read_flags,
    with_current_names,
    with_variables,
)
from orchestrator.config.validation_messages import expected_at, schema_at, unknown_key
from orchestrator.config.yaml.key_paths import FILE_NAME, KeyPath, dotted
from orchestrator.core.errors import ConfigError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import cut

SHOWN_CHARACTERS = 40


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The settings, and the source of each setting.

    ``origins``: the dotted name of each setting, with the setting's source. The source of a setting
    with its default value is ``default``.
    """

    settings: Settings
    origins: Mapping[str, str]


def load(
    folder: Path,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    require_key: bool = False,
) -> Loaded:
    """Return the settings for the home ``folder``, with absolute paths.

    Raise ConfigError with one line for each problem: source, setting, expected value. A missing API
    key is a problem only if ``require_key`` is True.
    """
    file = read_file(folder / FILE_NAME)
    layers = [file, read_environment(environ), read_flags(flags or {})]
    layer = merged(map(with_current_names, layers))
    layer = with_variables(layer, environ, must_be_set=require_key)
    if file.problems and not file.values:
        # The file cannot be read or parsed. Report only this cause, not all settings that are
        # therefore missing.
        _raise_if_any(layer.problems)
    settings: Settings = _with_absolute_paths(_validated(layer), folder)
    _raise_if_any(conflicts(settings, layer, require_key=require_key))
    return Loaded(settings=settings, origins=_origins(settings, layer))


def _validated(layer: Layer) -> Settings:
    try:
        settings = Settings.from_sections(layer.values)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        # Pydantic does not count a list's invalid entries, and so also reports that the list is too
        # short. Ignore such reports.
        parents = {item["loc"][:size] for item in errors for size in range(len(item["loc"]))}
        causes = [
            item for item in errors if item["type"] != "too_short" or item["loc"] not in parents
        ]
        _raise_if_any([*layer.problems, *(_problem_of(item, layer) for item in causes)])
        raise
    _raise_if_any(layer.problems)
    return settings


def _raise_if_any(problems: Iterable[ConfigProblem]) -> None:
    lines = [str(problem) for problem in sorted(set(problems))]
    if lines:
        raise ConfigError("\n".join(lines))


def _problem_of(error: Any, layer: Layer) -> ConfigProblem:
    path: KeyPath = error["loc"]
    setting = path[:-1] if path[-1] == "[key]" else path
    origin = layer.origin_of(setting) or Origin(source=FILE_NAME)
    return ConfigProblem(origin, f"{dotted(setting)}: {_reason(error, path)}")


def _reason(error: Any, path: KeyPath) -> str:
    if error["type"] == "extra_forbidden":
        return unknown_key(path)
    expected = expected_at(path)
    if error["type"] == "missing":
        return f"missing; must be {expected}"
    return f"{_shown_value(error['input'], path)}; must be {expected}{_hint(error['input'], path)}"


def _shown_value(value: object, path: KeyPath) -> str:
    if value is None:
        return "empty value"
    if path[:2] in SECRETS or path[-1] == "secret":
        return "invalid value"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"invalid value {cut(text, SHOWN_CHARACTERS)}"


def _hint(value: object, path: KeyPath) -> str:
    kind = schema_at(path).get("type")
    if kind == "string" and isinstance(value, int | float):
        return "; put text in quotes"
    if kind in ("integer", "number") and isinstance(value, str):
        return "; write a number without quotes or a unit"
    return ""


def _with_absolute_paths(section: Any, folder: Path) -> Any:
    changed = {
        key: Path(os.path.abspath(folder / value))
        if isinstance(value, Path)
        else _with_absolute_paths(value, folder)
        for key, value in section
        if isinstance(value, Path | Section)
    }
    return section.model_copy(update=changed)


def _origins(settings: Settings, layer: Layer) -> Mapping[str, str]:
    entry_paths = [(section, name) for section in NAMED for name in getattr(settings, section)]
    return {
        dotted(path): str(layer.origins.get(path, "default"))
        for path in [*setting_paths(), *entry_paths]
    }
