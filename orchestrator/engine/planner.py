"""Splitting a request into tasks by rules, without any AI.

In this order: a numbered or bulleted list, a numbered list within a line, "X with A, B and C",
sentences; else one task.
"""

import re
from collections.abc import Sequence
from textwrap import dedent

from orchestrator.core.model import TaskSpec
from orchestrator.engine.inline_list import inline_items

_ITEM = re.compile(
    r"^\s*(?:(?:[-*+•]|\(?\d{1,5}[.)]|\(?[a-z][.)])\s+|\d{1,5}、\s*)"
    r"(?:\[[ xX]\]\s+)?(?P<text>\S.*)$"
)
_FENCE = re.compile(r"^\s*(```|~~~)")
_WITH = re.compile(
    r"^(?P<whole>[^,;:]+?)\s+"
    r"(?:with|including|featuring|consisting of|that (?:has|have|includes?))"
    r"\s+(?P<parts>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_PART = re.compile(r"\s*[,;]\s*(?:and|or)\s+|\s*[,;]\s*|\s+and\s+", re.IGNORECASE)
#: What lies between two sentences, with what the second begins with.
_BETWEEN = re.compile(
    r"(?<=[.!?])(?P<closing>[\"')\]]*)\s+(?=[\"'(\[`]*(?P<first>[^\W_]))"
    r"|(?<=[。！？])\s*(?=[^\s。！？”’」』）])"
)
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|no|approx|Mr|Ms|Dr|St)\.|\b[A-Z]\.)$")
_AFTER = re.compile(
    r"^(?:and )?(?:(?:then|after that|afterwards|finally|lastly|at the end)\b|然后|接着|随后|最后)",
    re.IGNORECASE,
)
#: Longer than any abbreviation: no more of a sentence is searched for one.
_TAIL = 12
#: What stands before a list is given with each item, up to here; all of it is in the request.
_MAX_INTRO = 4000
#: A longer part is prose, not the name of a thing.
_MAX_PART_WORDS = 8
_MAX_TITLE = 80


class RulesPlanner:
    """The planner for machines without an AI agent."""

    name = "rules"

    def plan(self, request: str) -> Sequence[TaskSpec]:
        """Split a request into at least one task; the same request gives the same tasks."""
        text = dedent(request).strip()
        for rule in (_list_items, _inline_items, _with_parts, _sentences):
            parts = rule(text)
            if len(parts) >= 2:
                return _tasks(parts)
        return _tasks([(text, text)])


def is_list(request: str) -> bool:
    """Whether its author has split it already."""
    text = dedent(request).strip()
    return any(len(rule(text)) >= 2 for rule in (_list_items, _inline_items))


def _tasks(parts: Sequence[tuple[str, str]]) -> list[TaskSpec]:
    tasks: list[TaskSpec] = []
    for number, (title, prompt) in enumerate(parts, start=1):
        before = tuple(task.id for task in tasks) if _AFTER.match(title) else ()
        tasks.append(
            TaskSpec(id=f"task_{number}", title=_short(title), prompt=prompt, depends_on=before)
        )
    return tasks


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _MAX_TITLE else line[: _MAX_TITLE - 3].rstrip() + "..."


def _list_items(text: str) -> list[tuple[str, str]]:
    """The items of a list; what stands before the list belongs to each of them."""
    intro: list[str] = []
    items: list[list[str]] = []
    fenced, outermost = False, _first_indent(text)
    for line in text.splitlines():
        found = None if fenced else _ITEM.match(line)
        fenced ^= bool(_FENCE.match(line))
        if found and _indent(line) <= outermost:
            items.append([found["text"].strip()])
        elif items:
            items[-1].append(line.rstrip())
        else:
            intro.append(line)
    about = "\n".join(intro).strip()[:_MAX_INTRO]
    return [_item(about, lines) for lines in items]


def _item(about: str, lines: Sequence[str]) -> tuple[str, str]:
    text = "\n".join(lines).strip()
    return lines[0], f"{about}\n\n{text}" if about else text


def _inline_items(text: str) -> list[tuple[str, str]]:
    intro, items = inline_items(text)
    return [_item(intro[:_MAX_INTRO], item.splitlines()) for item in items]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _first_indent(text: str) -> int:
    first = next((line for line in text.splitlines() if _ITEM.match(line)), "")
    return _indent(first)


def _with_parts(text: str) -> list[tuple[str, str]]:
    """The parts of "X with A, B and C"."""
    line = " ".join(text.split())
    # Runs of blanks would make the search quadratic.
    found = _WITH.match(line.rstrip(".! "))
    if found is None or len(_pieces(line)) > 1:
        return []
    parts = [part.strip() for part in _PART.split(found["parts"]) if part.strip()]
    if any(len(part.split()) > _MAX_PART_WORDS for part in parts):
        return []
    whole = found["whole"].strip()
    return [(f"{whole}: {part}", f"{whole}: {part}") for part in parts]


def _sentences(text: str) -> list[tuple[str, str]]:
    sentences: list[str] = []
    for piece in _pieces(text):
        if sentences and _ABBREVIATION.search(sentences[-1][-_TAIL:]):
            sentences[-1] += f" {piece}"
        elif piece.strip():
            sentences.append(piece.strip())
    return [(sentence, sentence) for sentence in sentences]


def _pieces(text: str) -> list[str]:
    """Cut after every mark that may end a sentence: what follows does not begin small."""
    pieces, start = [], 0
    for found in _BETWEEN.finditer(text):
        if not (found["first"] or "").islower():
            pieces.append(text[start : found.start() + len(found["closing"] or "")])
            start = found.end()
    return [*pieces, text[start:]]
