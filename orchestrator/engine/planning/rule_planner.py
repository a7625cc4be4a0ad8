"""Splits a request into tasks by rules, without AI.

This module also decides whether the rules or a model should split a request.

The rules split a request by the first of these structures that the request contains:

1. a numbered or bulleted list
2. a numbered list within a line
3. several sentences that request work
4. a kind of work (``work_kinds.toml``)
5. "X with A, B and C"

A request without such a structure is one task. Thanks and wishes, such as "Please keep it small.",
create no task, but they are part of every task's context.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from textwrap import dedent

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.text.formatting import cut, one_line
from orchestrator.core.text.lazy_pattern import lazy_pattern
from orchestrator.engine.planning.sentences import (
    Mood,
    Sentence,
    asks_for_nothing,
    imperative,
    mood_of,
    sentences,
)
from orchestrator.engine.planning.work_kinds import is_product, is_technology, kind_of, tasks_of

#: Matches the number or letter of a list item, with the blank after its dot or bracket. A decimal
#: ("3.11") and a call ("f(1)") do not match, because no blank follows.
_MARKER = lazy_pattern(
    r"(?:(?<=\s)|^)\(?(?:(?P<number>\d{1,2})(?P<mark>[.)])|(?P<letter>[a-z])\))\s+(?=\S)"
)
_ENDS_SOMETHING = lazy_pattern(r"[.:;,!?)–-]$")
_JOINT = lazy_pattern(r"(?:^|[\s,;]+)(?:(?:and|or)\b\s*)?(?P<then>then)?[\s,;]*$", re.IGNORECASE)
#: Maximum characters of a separator between two items.
_TAIL = 20


def inline_items(text: str) -> tuple[str, list[str]]:
    """Return the text before a list within a line, and the items of the list.

    Without a list, return the whole text and no items.
    """
    if "```" in text or "~~~" in text:
        return text, []
    matches = list(_MARKER.finditer(text))
    for style in (_number_bracket, _number_dot, _letter_number):
        markers = _list_markers(
            text, [(marker, number) for marker in matches if (number := style(marker)) is not None]
        )
        items = list(_items_between(text, markers)) if len(markers) >= 2 else []
        if items and all(items):
            return text[: markers[0].start()].strip(), items
    return text, []


def _number_bracket(marker: re.Match[str]) -> int | None:
    return int(marker["number"]) if marker["mark"] == ")" else None


def _number_dot(marker: re.Match[str]) -> int | None:
    return int(marker["number"]) if marker["mark"] == "." else None


def _letter_number(marker: re.Match[str]) -> int | None:
    return ord(marker["letter"]) - ord("a") + 1 if marker["letter"] else None


def _list_markers(
    text: str, candidates: Sequence[tuple[re.Match[str], int]]
) -> list[re.Match[str]]:
    """Return the markers that number the items of a list: 1, 2, 3, and so on.

    ``candidates``: possible markers, with their numbers. Candidates that are not returned are part
    of an item's text.
    """
    markers: list[re.Match[str]] = []
    for index, (marker, number) in enumerate(candidates):
        if number != len(markers) + 1:
            continue
        if number == 1 and marker["mark"] == "." and not _is_after_end_of_sentence(text, marker):
            continue
        next_candidate = candidates[index + 1] if index + 1 < len(candidates) else None
        # In "1. Move to Python 2. 2. Test it", the second "2." is the marker, because the end of a
        # sentence precedes it.
        if (
            next_candidate
            and next_candidate[1] == number
            and not _is_after_end_of_sentence(text, marker)
        ):
            continue
        markers.append(marker)
    return markers


def _is_after_end_of_sentence(text: str, marker: re.Match[str]) -> bool:
    preceding_text = text[max(0, marker.start() - _TAIL) : marker.start()].rstrip()
    return marker.start() == 0 or bool(_ENDS_SOMETHING.search(preceding_text))


def _items_between(text: str, markers: Sequence[re.Match[str]]) -> Iterator[str]:
    """Yield the items of the list: the text after each marker.

    If an item ends with "and", "or", "then", or a comma, remove this word or comma, which only
    introduces the next item. A removed "then" moves to the beginning of the next item.
    """
    ends = [*(marker.start() for marker in markers[1:]), len(text)]
    prefix = ""
    for marker, end in zip(markers, ends, strict=True):
        item = text[marker.end() : end].strip()
        head, tail = item[:-_TAIL], item[-_TAIL:]
        joint = _JOINT.search(tail) if end < len(text) else None
        content = head + tail[: joint.start()] if joint else item
        yield prefix + content if content else ""
        prefix = "then " if joint and joint["then"] else ""


_ITEM = lazy_pattern(
    r"^\s*(?:(?:[-*+•]|\(?\d{1,5}[.)]|\(?[a-z][.)])\s+|\d{1,5}、\s*)"
    r"(?:\[[ xX]\]\s+)?(?P<text>\S.*)$"
)
_FENCE = lazy_pattern(r"^\s*(```|~~~)")
_WITH = lazy_pattern(
    r"^(?P<whole>[^,;:]+?)\s+"
    r"(?:with|including|featuring|consisting of|that (?:has|have|includes?))"
    r"\s+(?P<parts>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_PART = lazy_pattern(r"\s*[,;]\s*(?:and|or)\s+|\s*[,;]\s*|\s+and\s+", re.IGNORECASE)
_MAKING = lazy_pattern(r"(?:build|create|make|develop|design|implement|an?)\b", re.IGNORECASE)
#: Objects that are too small to have parts for several workers.
_SMALL_THING = lazy_pattern(
    r"\b(?:function|class|method|module|script|file|test|tests|button|form|field|endpoint|route|table"
    r"|column|icon|menu|modal|dialog|component|variable|constant|regex|query|flag|option|docstring"
    r"|comment|readme|changelog|section|paragraph|sentence|commit|branch|dockerfile|makefile|hook|type"
    r"|enum|decorator|fixture|issue|ticket|list|line|string|config|setting|image|logo|header|footer"
    r"|migration|model|page|error|message|log|check|fix|change|patch|bug|typo|sort|loop|difference)s?$",
    re.IGNORECASE,
)
#: Matches phrases that describe a property of the whole product, not a part of the product.
_PROPERTY = lazy_pattern(
    r"(?:no|not|without|good|great|proper|minimal|high|low|full|clean|only|just|care|caution|love|as|at"
    r"|more|less|better|fewer|max(?:imum)?|min(?:imum)?|speed|patience|ease|all|any|respect|help)\b"
    # In "subcommands for import, export and search", the list is one part.
    r"|.*\b(?:for|of|to|such as|like)\b",
    re.IGNORECASE,
)
_AFTER = lazy_pattern(
    r"^(?:and )?(?:(?:then|after that|afterwards|finally|lastly|at the end)\b|然后|接着|随后|最后)",
    re.IGNORECASE,
)
_WHICH = (
    r"the |some |more |a |an |unit |integration |end-to-end |e2e |regression |acceptance |new "
    r"|good |comprehensive |full |api |user |developer "
)
#: Matches requests for work that needs the result of earlier work, such as "test it" or "add docs".
_ON_RESULT = lazy_pattern(
    r"(?:\w+(?: (?:up|down|out))? (?:it|them|these|those)\b.*"
    r"|(?:test|verify|validate|deploy|release|publish|ship|document|package|review|benchmark"
    r"|containeri[sz]e|dockeri[sz]e)(?:\s+(?:this|that|everything|both|all)\b.*)?"
    r"|(?:(?:write|add|create|include)\s+)?(?:" + _WHICH + r")*"
    r"(?:tests?|documentation|docs|readme)(?:\s+for\s+(?:it|them|everything|both|all)\b.*)?)[.!]?",
    re.IGNORECASE,
)
_WRITES_TESTS = lazy_pattern(
    r"(?:(?:write|add|create|include|generate)\s+(?:" + _WHICH + r")*tests?\b"
    r"|(?:" + _WHICH + r")*tests\b)",
    re.IGNORECASE,
)
_WRITES_DOCUMENTATION = lazy_pattern(
    r"(?:(?:write|add|create|include|generate)\s+)?(?:" + _WHICH + r")*"
    r"(?:documentation|docs|readme|manual|user guide)\b|document\b",
    re.IGNORECASE,
)
#: Sentences that create no task, but belong to all tasks.
_NOT_WORK = (Mood.COURTESY, Mood.CONDITION)
#: Maximum characters of a list's introduction, which is repeated in the task of each item. The
#: request still has the whole introduction.
_MAX_INTRO = 4000
#: Maximum words of a part's name. A longer phrase is prose, not the name of a part.
_MAX_PART_WORDS = 8
_MAX_TITLE = 80


class SplitRule(StrEnum):
    LIST = "list"
    SENTENCES = "sentences"
    KIND = "kind of work"
    PARTS = "parts"
    ONE = "one task"
    #: The request consists only of greetings, thanks, or wishes.
    NOTHING = "nothing to do"


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The tasks that the rules created from a request, and the rule that created them.

    ``tasks`` is empty if the request asks for nothing.
    """

    rule: SplitRule
    tasks: Sequence[TaskSpec] = ()
    #: The name of the kind of work, if ``rule`` is KIND; otherwise empty.
    kind: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a request, which becomes a task."""

    title: str
    prompt: str
    #: The phrase that requests only this part; empty if it equals ``title``.
    phrase: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """The parts of a request, and the text that belongs to all of them."""

    parts: Sequence[_Part]
    context: Sequence[str] = ()


class RulesPlanner:
    """The planner that splits requests by rules, without an AI agent."""

    def plan(self, request: str) -> Sequence[TaskSpec]:
        """Return the tasks of a request; none for "Thank you.".

        Equal requests get equal tasks.
        """
        return split(request).tasks


def split(request: str) -> Split:
    text = dedent(request).strip()
    list_parts = _parts_of_list(text)
    if list_parts is not None:
        return Split(rule=SplitRule.LIST, tasks=_tasks(list_parts))
    if _FENCE.search(text) or "```" in text:
        return _single_task(text)
    request_sentences = sentences(text)
    if request_sentences and all(map(asks_for_nothing, request_sentences)):
        return Split(rule=SplitRule.NOTHING)
    work_sentences = [each for each in request_sentences if each.mood is Mood.WORK]
    if any(each.mood is Mood.UNKNOWN for each in request_sentences) and len(request_sentences) > 1:
        return _single_task(text)
    context = [each.text for each in request_sentences if each.mood is not Mood.WORK]
    if len(work_sentences) > 1:
        parts = [_Part(each.text, each.text) for each in work_sentences]
        return Split(rule=SplitRule.SENTENCES, tasks=_tasks(_Parts(parts=parts, context=context)))
    return _split_sentence(
        text, work_sentences or request_sentences, context if work_sentences else ()
    )


def is_list(request: str) -> bool:
    return _parts_of_list(dedent(request).strip()) is not None


def _split_sentence(
    text: str, request_sentences: Sequence[Sentence], context: Sequence[str]
) -> Split:
    if len(request_sentences) != 1:
        return _single_task(text)
    sentence = request_sentences[0].text
    kind = kind_of(sentence)
    if kind is not None:
        tasks = tasks_of(kind, sentence, text)
        return Split(rule=SplitRule.KIND, tasks=_with_context(tasks, context), kind=kind.name)
    parts = _named_parts(sentence)
    if len(parts) > 1:
        return Split(rule=SplitRule.PARTS, tasks=_tasks(_Parts(parts=parts, context=context)))
    return _single_task(text)


def _single_task(text: str) -> Split:
    return Split(
        rule=SplitRule.ONE, tasks=_tasks(_Parts(parts=[_Part(text, text)])) if text else ()
    )


def _parts_of_list(text: str) -> _Parts | None:
    for rule in (_list_items, _inline_items):
        intro, items, text_below = rule(text)
        work_items = [item for item in items if _is_work(item)]
        if len(work_items) > 1:
            remarks = [item for item in items if not _is_work(item)]
            parts = [
                _Part(_first_line(item), f"{intro}\n\n{item}" if intro else item)
                for item in work_items
            ]
            return _Parts(parts=parts, context=[*remarks, *([text_below] if text_below else [])])
    return None


def _is_work(item: str) -> bool:
    """True if a phrase names work, such as "a login form"; False for "keep it small"."""
    line = _first_line(item)
    return mood_of(line) not in _NOT_WORK and not is_technology(line)


def _tasks(request_parts: _Parts) -> Sequence[TaskSpec]:
    tasks: list[TaskSpec] = []
    for number, part in enumerate(request_parts.parts, start=1):
        phrase = part.phrase or part.title
        verb_phrase = imperative(phrase)
        needs_earlier = _AFTER.match(phrase) or _ON_RESULT.fullmatch(verb_phrase)
        depends_on = tuple(task.id for task in tasks) if needs_earlier else ()
        tasks.append(
            TaskSpec(
                id=f"task_{number}",
                title=cut(one_line(part.title), _MAX_TITLE),
                prompt=part.prompt,
                depends_on=depends_on,
                role=_role(verb_phrase) if len(request_parts.parts) > 1 else None,
            )
        )
    return _with_context(tasks, request_parts.context)


def _with_context(tasks: Sequence[TaskSpec], context: Sequence[str]) -> Sequence[TaskSpec]:
    intro = "\n".join(context)[:_MAX_INTRO]
    return [replace(task, context=intro) for task in tasks] if intro else tasks


def _role(verb_phrase: str) -> str | None:
    """Return the role "testing" or "documentation" if the phrase clearly requests such work.

    ``verb_phrase``: a phrase that begins with a verb. Return None for an unclear phrase, because a
    task with one of these roles fails if it changes no file.
    """
    if _WRITES_TESTS.match(verb_phrase):
        return "testing"
    return "documentation" if _WRITES_DOCUMENTATION.match(verb_phrase) else None


def _first_line(item: str) -> str:
    return item.split("\n", 1)[0]


def _list_items(text: str) -> tuple[str, Sequence[str], str]:
    """Return the text before a list, the list's items, and the text after the list.

    Without a list, return the whole text, no items, and "".
    """
    intro_lines: list[str] = []
    items: list[list[str]] = []
    lines_below: list[str] = []
    first_item = next((line for line in text.splitlines() if _ITEM.match(line)), "")
    fenced, outermost = False, _indent(first_item)
    for line in text.splitlines():
        item_match = None if fenced else _ITEM.match(line)
        fenced ^= bool(_FENCE.match(line))
        if item_match and _indent(line) <= outermost:
            if lines_below:
                items[-1] += lines_below
                lines_below = []
            items.append([item_match["text"].strip()])
        elif lines_below or (items and not fenced and _begins_below(items[-1], line, outermost)):
            lines_below.append(line.rstrip())
        elif items:
            items[-1].append(line.rstrip())
        else:
            intro_lines.append(line)
    intro = "\n".join(intro_lines).strip()[:_MAX_INTRO]
    return intro, ["\n".join(lines).strip() for lines in items], "\n".join(lines_below).strip()


def _begins_below(item: Sequence[str], line: str, outermost: int) -> bool:
    """True if ``line`` is the first line after the list; False if ``line`` belongs to ``item``.

    The first line after the list is not indented more than the list's items. In addition, the line
    follows an empty line, or is an instruction for all items.

    ``item``: the lines of the list's last item, up to ``line``. ``outermost``: indentation of the
    list's items, in characters.
    """
    if not line.strip() or _indent(line) > outermost or _FENCE.match(line):
        return False
    return not item[-1].strip() or mood_of(line) in _NOT_WORK


def _inline_items(text: str) -> tuple[str, Sequence[str], str]:
    intro, items = inline_items(text)
    return intro[:_MAX_INTRO], items, ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _named_parts(text: str) -> Sequence[_Part]:
    # First shorten sequences of blanks, because the search takes quadratic time for long sequences.
    line = one_line(text)
    match = _WITH.match(line.rstrip(".! "))
    if match is None:
        return []
    whole = match["whole"].strip()
    if not _has_parts(imperative(whole)):
        return []
    parts = [part.strip() for part in _PART.split(match["parts"]) if part.strip()]
    if any(len(part.split()) > _MAX_PART_WORDS or _PROPERTY.match(part) for part in parts):
        return []
    parts = [part for part in parts if not is_technology(part)]
    sentence = f"{line}\n\nYour part of this request: "
    return [_Part(f"{whole}: {part}", f"{sentence}{part}.", part) for part in parts]


def _has_parts(whole: str) -> bool:
    if is_product(whole):
        return True
    return bool(_MAKING.match(whole)) and not _SMALL_THING.search(whole)


#: Matches the beginning of a request that needs no split into tasks, if the request is short.
_SMALL = lazy_pattern(
    r"(?:please\s+)?(?:fix|rename|correct|bump|format|remove|delete|revert|run|print|say|show"
    r"|explain|describe|list|what|why|how|where|which|who|is|are|does)\b",
    re.IGNORECASE,
)
_SMALL_WORDS = 12
_MORE_THAN_ONE = lazy_pattern(r"[.!?;:]\s+\S|,|\b(?:and|then|also|with|including)\b", re.IGNORECASE)


def worth_planning(request: str) -> bool:
    """True if a model should split the request. False for lists and for small tasks."""
    return not (is_list(request) or _is_small(request.strip()))


def _is_small(request: str) -> bool:
    is_short = len(request.split()) <= _SMALL_WORDS
    return is_short and bool(_SMALL.match(request)) and not _MORE_THAN_ONE.search(request)
