"""Layers: the settings of one source, the position of each value, and the source's problems."""

from collections.abc import Iterable
from dataclasses import field

from orchestrator.config.yaml.key_paths import KeyPath
from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, order=True, kw_only=True)
class Origin:
    """The position of a value in a source, such as ``config.yaml:3:5``.

    ``line`` and ``column`` start at 1. If both are 0, the value has no line, as in a variable.
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
    """The settings of one source: a file, the environment, or flags. Not thread-safe."""

    values: dict[str, dict[str, object]] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)

    def put(self, section: str, key: str, value: object, origin: Origin) -> None:
        self.values.setdefault(section, {})[key] = value
        self.origins.setdefault((section,), origin)
        self.origins[section, key] = origin

    def add_problem(self, origin: Origin, text: str) -> None:
        self.problems.append(ConfigProblem(origin, text))

    def origin_of(self, path: KeyPath) -> Origin | None:
        """Return the origin of the value at ``path``.

        A value without its own origin has the origin of the nearest enclosing value. Return None if
        no enclosing value has an origin.
        """
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path)


def merged(layers: Iterable[Layer]) -> Layer:
    """Return one layer with the settings of all layers. A later layer overrides an earlier layer.

    The result also has the problems of all layers.
    """
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
