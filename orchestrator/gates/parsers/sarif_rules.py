"""Rules of one SARIF 2.1.0 run: the rule of a result, its severity, and its description."""

import re
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.json_values import mapping
from orchestrator.gates.parsers.report_json import sequence, text

#: Level of a rule that has no level.
_LEVEL = "warning"
_PLACEHOLDERS = re.compile(r"\{\{|\}\}|\{(\d{1,3})\}")


@dataclass(frozen=True, slots=True)
class _ToolComponent:
    """The rules of a tool, or of one of the tool's extensions."""

    described: dict[str, Any]
    rules: tuple[dict[str, Any], ...]
    by_id: dict[str, dict[str, Any]]

    def rule(self, name: str, index: object) -> dict[str, Any]:
        """Return the rule with the id ``name``; an empty dict if the report does not describe it.

        A sub-id as ``name`` also selects the rule: ``CA1000/1`` is a sub-id of ``CA1000``. If
        several rules have the id, the rule at ``index`` has priority. If ``name`` is empty, return
        the rule at ``index``.
        """
        if isinstance(index, int) and 0 <= index < len(self.rules):
            rule = self.rules[index]
            rule_id = text(rule.get("id"))
            # ``CA1000/1`` is a sub-id of ``CA1000``.
            if not name or name == rule_id or name.startswith(f"{rule_id}/"):
                return rule
        while name and name not in self.by_id:
            name = name.rpartition("/")[0]
        return self.by_id.get(name, {})


class Rules:
    def __init__(self, run: dict[str, Any]) -> None:
        tool = mapping(run.get("tool"))
        components = (tool.get("driver"), *sequence(tool.get("extensions")))
        self._components = [_tool_component(mapping(each)) for each in components]
        self._overrides = [self._levels(mapping(each)) for each in sequence(run.get("invocations"))]

    def id_of(self, result: dict[str, Any]) -> str:
        """Return the id of a result's rule; "" if the result has no rule."""
        rule_id = text(result.get("ruleId")) or text(mapping(result.get("rule")).get("id"))
        return rule_id or text(self._rule(_reference(result))[1].get("id"))

    def level(self, result: dict[str, Any]) -> str:
        """Return the level of a result.

        The first of these levels counts: the result's own level, the level that the run sets for
        the result's rule, the rule's default level.
        """
        result_level = text(result.get("level"))
        rule = self._rule(_reference(result))[1]
        level = self._overrides_for(result).get(text(rule.get("id")) or self.id_of(result), "")
        return result_level or level or _level(rule.get("defaultConfiguration"))

    def message(self, result: dict[str, Any]) -> str:
        message = mapping(result.get("message"))
        own_text = text(message.get("text")) or text(message.get("markdown"))
        if own_text or "id" not in message:
            return own_text
        component, rule = self._rule(_reference(result))
        name = text(message.get("id"))
        for strings in (
            rule.get("messageStrings"),
            component.described.get("globalMessageStrings"),
        ):
            string = mapping(mapping(strings).get(name))
            if string:
                words = [text(each) for each in sequence(message.get("arguments"))]
                return _filled(text(string.get("text")) or text(string.get("markdown")), words)
        return name

    def _rule(self, reference: dict[str, Any]) -> tuple[_ToolComponent, dict[str, Any]]:
        """Return the component of the tool that defines the rule ``reference``, and this rule.

        If no component defines the rule, return the tool's first component and an empty dict.
        """
        name, index = text(reference.get("id")), reference.get("index")
        for component in self._referenced_components(mapping(reference.get("toolComponent"))):
            rule = component.rule(name, index)
            if rule:
                return component, rule
            # The index is valid only in the first component. In all other components, search by id.
            index = None
        return self._components[0], {}

    def _referenced_components(self, reference: dict[str, Any]) -> list[_ToolComponent]:
        index = reference.get("index")
        if isinstance(index, int) and 0 <= index < len(self._components) - 1:
            return [self._components[index + 1]]
        identity = {key: reference[key] for key in ("guid", "name") if reference.get(key)}
        matches = [
            component
            for component in self._components
            if identity and all(component.described.get(key) == identity[key] for key in identity)
        ]
        return matches or self._components

    def _levels(self, invocation: dict[str, Any]) -> dict[str, str]:
        levels = {}
        for each in sequence(invocation.get("ruleConfigurationOverrides")):
            descriptor = mapping(mapping(each).get("descriptor"))
            rule = self._rule(descriptor)[1]
            name = text(rule.get("id")) or text(descriptor.get("id"))
            levels[name] = _level(mapping(each).get("configuration"))
        return levels

    def _overrides_for(self, result: dict[str, Any]) -> dict[str, str]:
        # A result may name no invocation. If the run has only one invocation, the result belongs to
        # this invocation.
        index = mapping(result.get("provenance")).get("invocationIndex", -1)
        if isinstance(index, int) and 0 <= index < len(self._overrides):
            return self._overrides[index]
        return self._overrides[0] if len(self._overrides) == 1 else {}


def _tool_component(described: dict[str, Any]) -> _ToolComponent:
    rules = tuple(mapping(each) for each in sequence(described.get("rules")))
    return _ToolComponent(described, rules, {text(each.get("id")): each for each in rules})


def _reference(result: dict[str, Any]) -> dict[str, Any]:
    # The reference is in ``rule``, or the rule's id and index are in ``ruleId`` and ``ruleIndex``.
    short = {"id": result.get("ruleId"), "index": result.get("ruleIndex")}
    return mapping(result.get("rule")) | {
        key: each for key, each in short.items() if each is not None
    }


def _level(configuration: object) -> str:
    return text(mapping(configuration).get("level")) or _LEVEL


def _filled(words: str, arguments: list[str]) -> str:
    def piece(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        index = int(match[1])
        return arguments[index] if index < len(arguments) else match[0]

    return _PLACEHOLDERS.sub(piece, words)
