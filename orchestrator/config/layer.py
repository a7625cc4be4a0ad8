"""One source of settings: its values, their positions, and its errors."""

from collections.abc import Iterable
from dataclasses import field

from orchestrator.config.yaml.key_paths import KeyPath
from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, order=True, kw_only=True)
class Origin:
    """The place of a value in a source.

    ``line`` and ``column`` start at 1; 0 means the whole source.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, order=True)
class ConfigProblem:
    origin: Origin
    text: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}"


@dataclass
class Layer:
    """The values of one source, by section and key. A later layer overrides an earlier one."""

    values: dict[str, dict[str, object]] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)

    def put(self, section: str, key: str, value: object, origin: Origin) -> None:
        self.values.setdefault(section, {})[key] = value
        self.origins.setdefault((section,), origin)
        self.origins[section, key] = origin

    def refuse(self, origin: Origin, text: str) -> None:
        self.problems.append(ConfigProblem(origin, text))

    def origin_of(self, path: KeyPath) -> Origin | None:
        """Return the origin of the value at ``path``, or of the nearest value that contains it.

        Return None if the layer has no such value.
        """
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path)


def merged(layers: Iterable[Layer]) -> Layer:
    """Return one layer that has, for each key, the value of the last layer with this key."""
    result = Layer()
    for layer in layers:
        for section, keys in layer.values.items():
            _overlay(result, layer, section, keys)
        result.problems += layer.problems
    return result


def _overlay(result: Layer, layer: Layer, section: str, keys: dict[str, object]) -> None:
    result.values.setdefault(section, {})
    result.origins.setdefault((section,), layer.origins[section,])
    for key, value in keys.items():
        result.origins = {p: o for p, o in result.origins.items() if p[:2] != (section, key)}
        result.origins |= {p: o for p, o in layer.origins.items() if p[:2] == (section, key)}
        result.values[section][key] = value
