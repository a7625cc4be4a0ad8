"""Decides whether a task asks for a change of files or for an answer.

Only clear English is recognized. The intent of any other text is ``Intent.UNCLEAR``. Patterns of
words determine the intent, because a task's text is plain text, and no field states the intent.
"""

import re
from collections.abc import Iterator
from enum import Enum

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import REPORTING_ROLES, Intent
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.text.lazy_pattern import lazy_pattern
from orchestrator.engine.planning.sentences import Mood, imperative, sentences

#: Maximum characters of a text that are read.
MOST_READ = 8000
#: Maximum sentences of a text that are read. The rest of a longer prompt is mostly descriptions.
MOST_SENTENCES = 40

_FENCED = lazy_pattern(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*$|\Z)|^>[^\n]*$", re.M | re.S)
_INLINE = lazy_pattern(r"`([^`\n]*)`|\"([^\"\n]{0,200})\"")
_PATH = lazy_pattern(
    r"(?<![\w/.])(?:[\w.-]+/)+[\w.-]*|\b[\w-]+\.(?!js\b)[a-z]{1,5}\b|\b[\w-]+file\b", re.I
)
_MARKER = lazy_pattern(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?:\[[ xX]\]\s+)?")
_JOINT = lazy_pattern(r",?\s+(?:and|but|or)\s+(?P<then>then\s+)?|,\s+(?P<later>then\s+)?|[;:]\s+")
#: Matches the text after the end of a verb's object.
_THING_ENDS = lazy_pattern(
    r"\s(?:of|for|about|on|with|that|which|to|in|into|from|by|using|where|so|as|at)\s", re.I
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Verbs that request an answer or a report.
_EXPLAINING = _words(
    """
    explain describe tell show list summarize summarise outline compare count name enumerate
    report say answer discuss clarify suggest propose recommend estimate brainstorm trace map
    survey inventory visualize visualise rate rank advise give how what why which who when where
    best advice ideas options tips thoughts pros is are does do did was were has have
    """
)
#: Verbs that request a check. Only its findings show whether files must be changed.
_CHECKING = _words(
    """
    review check verify validate confirm audit test run execute inspect find search scan detect
    identify locate assess evaluate benchmark measure profile analyze analyse investigate diagnose
    reproduce look
    """
)
#: Verbs that only prepare later work.
_PREPARING = _words("read study understand see open examine explore think plan research learn")
#: Verbs that request a change of files, whatever the verb's object is.
_CHANGING = _words(
    """
    add implement fix refactor rewrite rename replace remove delete migrate upgrade port extract
    integrate introduce extend modify update change edit move split merge simplify modernize
    modernise scaffold bootstrap build develop install configure enable disable dockerize dockerise
    containerize containerise localize localise reformat bump correct repair resolve restructure
    reorganize reorganise rework deprecate insert append adapt optimize optimise improve harden
    secure clean polish tidy wire set setup code program support allow redesign speed paginate
    encrypt revert patch solve normalize normalise unify deduplicate parametrize parameterize
    decouple modularize expose drop wrap convert turn increase decrease reduce lower adjust switch
    handle cache cover mock
    """
)
#: Verbs that request a repair or an improvement. If the worker finds nothing to improve, the work
#: ends without a change.
_MENDING = _words(
    """
    fix repair resolve solve correct improve clean update remove delete optimize optimise polish
    simplify tidy patch harden
    """
)
#: Verbs that request a new object, which may be a file or a text in the answer.
_MAKING = _words(
    """
    write create make generate produce prepare provide design draft compose translate draw define
    document format complete finish put
    """
)
#: Matches requests for a state that may exist without a change: "get the tests to pass".
_REACHING = lazy_pattern(
    r"bring\b.*\bup to date|(?:get|make)\b.*\b(?:passing|(?:to )?(?:work|pass|build|compile))$",
    re.I,
)
_THING = lazy_pattern(
    r"\b(?:tests?|test (?:suite|case)s?|forms?|pages?|endpoints?|routes?|apis?|apps?|applications?"
    r"|websites?|sites?|servers?|clients?|services?|microservices?|cli|tools?|librar(?:y|ies)"
    r"|modules?|packages?|class(?:es)?|functions?|methods?|components?|buttons?|fields?|features?"
    r"|scripts?|files?|code|readme|docs|documentation|guides?|tutorials?|changelog|config"
    r"|configuration|migrations?|models?|tables?|databases?|views?|templates?|dialogs?|modals?"
    r"|menus?|headers?|footers?|middleware|handlers?|parsers?|plugins?|extensions?|workflows?"
    r"|pipelines?|fixtures?|dashboards?|login|logout|games?|bots?|backends?|frontends?|crud|hooks?"
    r"|commands?|type (?:hints|annotations)|docstrings?|comments|stylesheets?|css|html|sdks?"
    r"|wrappers?|validators?|validation|authentication|decorators?|enums?|shops?|blogs?|systems?"
    r"|website|project|program|navbar|sidebar|widgets?|helpers?|layouts?|constants?|variables?"
    r"|flags?|exceptions?|logging|caching)$",
    re.I,
)
#: Matches a verb's object if it is a text about code, such as "a report" or "a list of ...". A task
#: that requests such a text asks for an answer, not for a change.
_ACCOUNT = lazy_pattern(
    r"\b(?:reports?|summar(?:y|ies)|overviews?|inventor(?:y|ies)|surveys?|maps?|lists?|outlines?"
    r"|descriptions?|anal[yi]s[ie]s|reviews?|diagrams?|pictures?|plans?|proposals?|estimates?"
    r"|explanations?|comparisons?|recommendations?|suggestions?|assessments?|ideas|notes|answers?"
    r"|roadmaps?)$",
    re.I,
)
#: Matches a verb's object if it is something that programs receive. "Validate the input" requests
#: code, but "validate the report" requests a check.
_INPUT = lazy_pattern(r"\b(?:inputs?|arguments?|parameters?|fields?|forms?)$", re.I)
#: Matches words such as "if needed". Work with such words may end without a change.
_DOUBTFUL = lazy_pattern(
    r"\b(?:if (?:needed|necessary|required|any|there|possible|so|not|appropriate|it|they|you)"
    r"|(?:where|when|wherever|whenever|as) (?:needed|necessary|required|appropriate|possible)"
    r"|unless|in case|whatever|what(?:ever)? (?:is|you|fails|breaks)|you (?:find|found|see|notice)"
    r"|consider|maybe|perhaps|optionally|any (?:missing|needed|necessary|other|further))\b",
    re.I,
)
_ANY = lazy_pattern(r"\bany\b", re.I)
_READ_ONLY = lazy_pattern(
    r"\b(?:do not|don['’]?t|never|without|no need to|must not|not to|rather than)\s+"
    r"(?:actually\s+|yet\s+)?(?:chang|modify|edit|writ|touch|alter)\w*\s+"
    r"(?:anything|(?:any|the|my|our)?\s*(?:files?|code|project|repository|repo|sources?)\b)"
    r"|\bno (?:code |file )?(?:changes|edits)\b|\bread[- ]only\b",
    re.I,
)
#: Matches questions about a possible change. Their intent is unclear, because polite requests for a
#: change have the same form.
_MAYBE = lazy_pattern(r"(?:is it possible|(?:can|could|should) we|(?:what|how) about)\b", re.I)
_PERSON = lazy_pattern(r"(?:me|us)\b", re.I)
_PRONOUN = lazy_pattern(r"(?:it|them|this|that|these|those)\b", re.I)
#: Matches a verb's object if it is not in a file, as in "add 2 and 3", "update me on ...", or
#: "translate the following text".
_NO_FILES = lazy_pattern(r"(?:\d|me\b|us\b|(?:this|the following) (?:sentence|text|word))", re.I)


class _Kind(Enum):
    CHANGE = "change"
    #: A repair or an improvement. A change may turn out to be unnecessary.
    MENDING = "mending"
    MAYBE = "maybe"
    EXPLAIN = "explain"
    CHECK = "check"
    PREPARE = "prepare"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class _Clause:
    text: str
    then: bool


#: Kinds of requests that ask for an answer.
_ANSWERS = (_Kind.EXPLAIN, _Kind.CHECK, _Kind.PREPARE)


def intent_of_task(task: TaskSpec) -> Intent:
    """Return the task's intent: a change of files, an answer, or unclear.

    A task with a command, or with a role that only writes reports, asks for an answer. For any
    other task, two texts decide: the part of the prompt after the planner's introduction, and the
    title. If this part of the prompt asks for an answer, the title does not count.
    """
    if task.command is not None or task.role in REPORTING_ROLES:
        return Intent.ANSWER
    own_prompt = _without_intro(task)
    prompt_intent = intent_of(own_prompt)
    if not task.title or prompt_intent is Intent.ANSWER:
        return prompt_intent
    title_intent = intent_of(task.title)
    if prompt_intent is Intent.CHANGE:
        return Intent.UNCLEAR if title_intent is Intent.ANSWER else prompt_intent
    if title_intent is Intent.CHANGE and not _asks_for_something(own_prompt):
        return title_intent
    return Intent.ANSWER if title_intent is Intent.ANSWER else prompt_intent


def _asks_for_something(text: str) -> bool:
    """True if the text contains a recognized request, or words such as "if needed".

    Requests in other languages are not recognized.
    """
    plain = _without_code(text)
    return bool(_DOUBTFUL.search(plain)) or any(each is not _Kind.NONE for each in _kinds(plain))


def _without_intro(task: TaskSpec) -> str:
    """Return the task's prompt from the task's title on, without the planner's introduction.

    If the prompt does not contain the title, return the whole prompt.
    """
    title = task.title.removesuffix("...")
    start = task.prompt.rfind(f"\n\n{title}") if title else -1
    return task.prompt if start < 0 else task.prompt[start:]


def intent_of(text: str) -> Intent:
    plain = _without_code(text)
    if _READ_ONLY.search(plain):
        return Intent.ANSWER
    kinds = list(_kinds(plain))
    if _Kind.CHANGE in kinds:
        return Intent.CHANGE
    if _Kind.MENDING in kinds:
        return Intent.UNCLEAR if _Kind.CHECK in kinds else Intent.CHANGE
    if _Kind.MAYBE in kinds:
        return Intent.UNCLEAR
    return Intent.ANSWER if any(each in _ANSWERS for each in kinds) else Intent.UNCLEAR


def _without_code(text: str) -> str:
    return _INLINE.sub(
        lambda match: match[1] if match[1] and _PATH.fullmatch(match[1]) else "NAME",
        _FENCED.sub(" ", text[:MOST_READ]),
    )


def _kinds(plain: str) -> Iterator[_Kind]:
    lines = (_MARKER.sub("", line) for line in plain.splitlines())
    all_sentences = [each for line in lines for each in sentences(line)]
    for sentence in all_sentences[:MOST_SENTENCES]:
        yield from _kinds_in_sentence(sentence.text, sentence.mood)


def _kinds_in_sentence(sentence: str, mood: Mood) -> Iterator[_Kind]:
    if mood is Mood.COURTESY:
        return
    if _MAYBE.match(sentence):
        yield _Kind.MAYBE
        return
    clauses = list(_clauses(sentence))
    first_kind = _kind_of_clause(clauses[0].text, sentence)
    if mood is Mood.CONDITION and first_kind is not _Kind.CHECK:
        return
    yield first_kind
    for clause in clauses[1:]:
        kind = _kind_of_clause(clause.text, sentence)
        if first_kind is not _Kind.EXPLAIN:
            yield kind
        elif kind in (_Kind.CHANGE, _Kind.MENDING) and _is_order(clause):
            yield _Kind.MAYBE


def _clauses(sentence: str) -> Iterator[_Clause]:
    start, then = 0, False
    for joint in _JOINT.finditer(sentence):
        if sentence[start : joint.start()].strip():
            yield _Clause(sentence[start : joint.start()].strip(), then)
        start, then = joint.end(), bool(joint["then"] or joint["later"])
    yield _Clause(sentence[start:].strip(), then)


def _is_order(clause: _Clause) -> bool:
    """True if a clause after "explain ..." is a separate request, such as "and then fix it"."""
    return clause.then or bool(_PRONOUN.match(clause.text.partition(" ")[2]))


def _kind_of_clause(clause: str, sentence: str) -> _Kind:
    text = imperative(clause)
    verb, _, thing = text.partition(" ")
    verb = verb.lower().strip(".,!?")
    if text.startswith("build ") and not clause.lower().endswith(text.lower()):
        verb = "create"  # "I want a ..." is read as "create a ...".
    if _REACHING.match(text):
        return _Kind.MAYBE if _DOUBTFUL.search(sentence) else _Kind.MENDING
    head = _THING_ENDS.split(thing, 1)[0].strip(" .,!?")
    # Example of the first case: "Give calc a multiply function". Example of the second case:
    # "Validate the input of the form".
    if verb == "give" and not _PERSON.match(thing) and _THING.search(head):
        return _Kind.MAYBE
    if verb == "validate" and _INPUT.search(head):
        return _Kind.MAYBE
    if verb in _EXPLAINING:
        return _Kind.EXPLAIN
    if verb in _CHECKING:
        return _Kind.CHECK
    if verb in _PREPARING:
        return _Kind.PREPARE
    kind = _kind_of_change(verb, thing.strip(" .!?"))
    if kind is _Kind.MENDING and _ANY.search(sentence):
        return _Kind.MAYBE
    is_change = kind in (_Kind.CHANGE, _Kind.MENDING)
    return _Kind.MAYBE if is_change and _DOUBTFUL.search(sentence) else kind


def _kind_of_change(verb: str, thing: str) -> _Kind:
    if verb not in _CHANGING and verb not in _MAKING:
        return _Kind.NONE
    if not thing or _NO_FILES.match(thing):
        return _Kind.MAYBE
    head = _THING_ENDS.split(thing, 1)[0].strip(" .,!?")
    if _PATH.search(thing):
        return _Kind.MENDING if verb in _MENDING else _Kind.CHANGE
    if _ACCOUNT.search(head):
        return _Kind.EXPLAIN if verb in (*_MAKING, "build", "add") else _Kind.CHANGE
    if verb in _CHANGING:
        return _Kind.MENDING if verb in _MENDING else _Kind.CHANGE
    is_thing = _THING.search(head) or (
        verb == "make" and re.match("(?:the|it|all|our|my)\\b", head)
    )
    return _Kind.CHANGE if is_thing else _Kind.MAYBE
