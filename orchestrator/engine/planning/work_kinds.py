"""Reads ``work_kinds.toml``, the table of kinds of work.

The rule planner splits a request by the first kind that fits.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.text.formatting import cut, one_line
from orchestrator.core.text.lazy_pattern import lazy_pattern
from orchestrator.engine.planning.sentences import imperative

TABLE = Path(__file__).with_name("work_kinds.toml")
#: Maximum characters of a sentence that are searched for a kind of work.
_MOST_READ = 1000
#: Maximum characters of the request that the prompt of each task repeats. The shared context has
#: the whole request.
_MOST_REQUEST = 20_000
_SPLIT_VERBS = {"break down": "break", "split up": "split", "set up": "set", "carry out": "do"}
#: Matches the text after the end of a request's object.
_THING_ENDS = lazy_pattern(
    r"\s+(?:for|of|about|covering|on|in|from|to|into|with|using|that|which|where|based|powered"
    r"|including|featuring|consisting|by|as|at|so|because|if|when|and (?:then|also))\b"
    r"|[,;:.!?(\n]",
    re.IGNORECASE,
)
_SCOPE = lazy_pattern(r"\s+(?:for|of|about|covering|on)\s+(?P<named>.+)", re.IGNORECASE | re.DOTALL)
#: Matches words between an application and its technologies, such as "using" or "built".
_MADE_OF = lazy_pattern(
    r"^\s*(?:[,:(]|(?:in|on|from|by)\b)|\b(?:using|with|uses|built|written|based|powered)\b",
    re.IGNORECASE,
)
#: Matches words that limit the work. A request with such a word is one task.
_NARROWED = lazy_pattern(
    r"\b(?:only|just|except|nothing but|one page|single|short)\b", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class KindTask:
    id: str
    title: str
    prompt: str
    role: str | None = None
    needs: tuple[str, ...] = ()
    #: The task's layer of an application, such as "backend". The task's title names the
    #: technologies of this layer that the request names.
    layer: str = ""
    only_if: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkKind:
    name: str
    example: str
    verbs: frozenset[str]
    tasks: tuple[KindTask, ...]
    thing: re.Pattern[str] | None = None
    sentence: re.Pattern[str] | None = None
    scope: str = "any"
    broad: str = ""
    layers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    kinds: tuple[WorkKind, ...]
    technologies: Mapping[str, re.Pattern[str]]
    product: re.Pattern[str]
    languages: re.Pattern[str]
    broad: re.Pattern[str]
    project: re.Pattern[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _ParsedSentence:
    """A sentence, and its parts, such as "create", "a shop", and " with React and FastAPI"."""

    verb: str
    thing: str
    rest: str
    sentence: str


def kinds() -> Sequence[WorkKind]:
    """Return all kinds of work, in the order in which the rule planner checks them."""
    return _table().kinds


def kind_of(sentence: str) -> WorkKind | None:
    parsed = _parse(sentence)
    if _NARROWED.search(parsed.sentence):
        return None
    return next((kind for kind in kinds() if _fits(kind, parsed)), None)


def tasks_of(kind: WorkKind, sentence: str, request: str) -> Sequence[TaskSpec]:
    """Return the tasks for a kind of work, as the table lists them.

    ``sentence``: the sentence of ``request`` that asks for this kind of work.
    """
    parsed = _parse(sentence)
    technologies = _named_technologies(parsed)
    kind_tasks = [
        kind_task for kind_task in kind.tasks if _applies(kind, kind_task, technologies, request)
    ]
    ids = {kind_task.id for kind_task in kind_tasks}
    specs = [_task(kind_task, technologies, request) for kind_task in kind_tasks]
    titles = [task.title for task in specs]
    return [
        replace(
            task,
            prompt=task.prompt + _text_on_others(titles, task.title),
            depends_on=tuple(need for need in kind_task.needs if need in ids),
        )
        for kind_task, task in zip(kind_tasks, specs, strict=True)
    ]


def is_technology(words: str) -> bool:
    """True if ``words`` is only the name of a technology or programming language, such as "React".

    Such a name is not the name of a product's part.
    """
    phrase = re.sub(r"^(?:an?|the)\s+", "", words.strip(), flags=re.IGNORECASE)
    table = _table()
    return any(each.fullmatch(phrase) for each in (*table.technologies.values(), table.languages))


def is_product(thing: str) -> bool:
    """True if ``thing`` is a product with separate parts, such as "a shop"."""
    return bool(_table().product.search(thing))


def _parse(sentence: str) -> _ParsedSentence:
    text = one_line(imperative(sentence[:_MOST_READ].strip())).rstrip(".!? ")
    for words, verb in _SPLIT_VERBS.items():
        if text.lower().startswith(words + " "):
            text = verb + text[len(words) :]
    verb, _, after_verb = text.partition(" ")
    end_match = _THING_ENDS.search(after_verb + " ")
    thing_end = end_match.start() if end_match else len(after_verb)
    # The dot in "Next.js" does not end a sentence.
    while (
        end_match and end_match.group() == "." and after_verb[thing_end + 1 : thing_end + 2].strip()
    ):
        end_match = _THING_ENDS.search(after_verb + " ", thing_end + 1)
        thing_end = end_match.start() if end_match else len(after_verb)
    return _ParsedSentence(
        verb=verb.lower(),
        thing=after_verb[:thing_end].strip(),
        rest=after_verb[thing_end:],
        sentence=text,
    )


def _fits(kind: WorkKind, parsed: _ParsedSentence) -> bool:
    if parsed.verb not in kind.verbs:
        return False
    if kind.sentence is not None and kind.sentence.search(parsed.sentence):
        return True
    if kind.layers:
        return len(_named_technologies(parsed)) >= kind.layers
    if kind.thing is None or not kind.thing.fullmatch(parsed.thing):
        return False
    return _fits_scope(kind, parsed)


def _fits_scope(kind: WorkKind, parsed: _ParsedSentence) -> bool:
    table, scope = _table(), _SCOPE.match(parsed.rest)
    is_broad = bool(table.broad.search(parsed.thing))
    whole = scope is not None and bool(table.project.match(scope["named"]))
    if kind.scope == "project" and scope is not None and not whole:
        return False
    if kind.broad == "always":
        return is_broad
    return is_broad or whole if kind.broad else True


def _named_technologies(parsed: _ParsedSentence) -> Mapping[str, Sequence[str]]:
    table = _table()
    if not table.product.search(parsed.thing):
        return {}
    made_of = _MADE_OF.search(parsed.rest)
    searched_text = parsed.thing + (parsed.rest[made_of.start() :] if made_of else "")
    matches = {name: pattern.findall(searched_text) for name, pattern in table.technologies.items()}
    return {name: list(dict.fromkeys(words)) for name, words in matches.items() if words}


def _applies(
    kind: WorkKind, task: KindTask, technologies: Mapping[str, Sequence[str]], request: str
) -> bool:
    if task.only_if:
        return bool(re.search(task.only_if, request[:_MOST_REQUEST], re.IGNORECASE))
    return not (kind.layers and task.layer) or task.layer in technologies


def _task(task: KindTask, technologies: Mapping[str, Sequence[str]], request: str) -> TaskSpec:
    words = ", ".join(technologies.get(task.layer, ()))
    title = f"{task.title} ({words})" if words else task.title
    request_text = cut(request, _MOST_REQUEST, " ...")
    prompt = f"{request_text}\n\nYour part of this request: {title}. {task.prompt}"
    return TaskSpec(id=task.id, title=title, prompt=prompt, role=task.role)


def _text_on_others(titles: Sequence[str], own_title: str) -> str:
    others = ", ".join(title for title in titles if title != own_title)
    return (
        f"\nOther workers do the other parts: {others}. Do not do these. Where the parts meet, "
        f"follow the request and the project, and write down your assumptions."
    )


@cache
def _table() -> Table:
    content = tomllib.loads(TABLE.read_text("utf-8"))
    words = content["words"]
    return Table(
        kinds=tuple(_kind(each, content["building"], words) for each in content["kinds"]),
        technologies={
            name: lazy_pattern(rf"(?<![\w.-])(?:{pattern})(?![\w-])", re.IGNORECASE)
            for name, pattern in content["technologies"].items()
        },
        product=lazy_pattern(rf"(?<![\w-])(?:{words['product']})s?$", re.IGNORECASE),
        languages=lazy_pattern(words["languages"], re.IGNORECASE),
        broad=lazy_pattern(rf"\b(?:{words['broad']})\b", re.IGNORECASE),
        project=lazy_pattern(rf"(?:{words['project']})(?![\w-])(?!\s+\w)", re.IGNORECASE),
    )


def _kind(fields: Mapping[str, Any], building: str, words: Mapping[str, str]) -> WorkKind:
    tasks = tuple(
        KindTask(**{**each, "needs": tuple(each.get("needs", ()))}) for each in fields["tasks"]
    )
    return WorkKind(
        name=fields["name"],
        example=fields["example"],
        verbs=frozenset(fields["verbs"].replace("{building}", building).split()),
        tasks=tasks,
        thing=_pattern(fields.get("thing"), words),
        sentence=_pattern(fields.get("sentence"), words),
        scope=fields.get("scope", "any"),
        broad=fields.get("broad", ""),
        layers=fields.get("layers", 0),
    )


def _pattern(text: str | None, words: Mapping[str, str]) -> re.Pattern[str] | None:
    for name, alternatives in words.items():
        text = text and text.replace(f"{{{name}}}", f"(?:{alternatives})")
    return lazy_pattern(text, re.IGNORECASE) if text else None
