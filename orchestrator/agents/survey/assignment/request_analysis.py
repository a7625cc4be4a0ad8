"""Finds keywords and paths in a request. Decides if the request may ask to build something.

The lists of known words are in ``vocabulary.toml``.
"""

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.lazy_pattern import lazy_pattern

#: Remark in the terminal and at the top of the report, for a request that may ask to build.
NOTHING_BUILT = (
    "Nothing was built: no AI agent worked on the request. The parts of the project that the"
    " request concerns were surveyed instead. To connect an agent, install its tool"
    f" and log in; for instructions, run `{COMMAND} agents`. Then run the request again. The"
    " best available agent is used, or the one that you name, such as `--agent claude`. To add"
    " your own agent, use `agents:` in config.yaml."
)

_WORD = lazy_pattern(r"[A-Za-z][A-Za-z'+#]*")
#: Matches a clause that begins with a new thing, such as "A small web app ...".
_NEW_THING = lazy_pattern(r"\W*(?:an?|new)\b", re.IGNORECASE)
_LIKE_A_PATH = lazy_pattern(r"/|\.\w")
_CLAUSE = lazy_pattern(
    r"[.;:!?\n]+|,?\s+(?:and|then|but)\s+(?:then\s+|also\s+)?|,\s+", re.IGNORECASE
)
#: Matches phrases such as "write a report", "make a list of", or "build a map". Such a phrase
#: requests a text about the code, not a change.
_ACCOUNT = lazy_pattern(
    r"\b(?:write|create|make|generate|produce|prepare|give|provide|add|build|draw|set\s+up)\b"
    r"(?:\s+(?:me|us|up|an?|the|short|brief|full|detailed|complete|quick))*\s+"
    r"(?:report|summary|overview|inventory|survey|map|list|description|outline|analysis|review"
    r"|diagram|picture)\b(?!\s+(?:page|view|component|endpoint|feature|app|api|widget))",
    re.IGNORECASE,
)
#: Number of words at the start of a clause that are searched for a product: "A small web app ...".
_WORDS_BEFORE_A_PRODUCT = 4
#: Suffixes that ``stem`` removes, longer suffixes first.
_ENDINGS = (
    *("isations", "izations", "ications", "isation", "ization", "ication", "ations"),
    *("ation", "ments", "ment", "ings", "ing", "ers", "ors", "ies", "er", "or", "ed", "es"),
    *("s", "e", "y"),
)
#: Maximum number of characters that are read to find the intent of a request.
MOST_READ_LETTERS = 20_000
_SHORTEST_STEM = 3


@dataclass(frozen=True, kw_only=True)
class _Vocabulary:
    building: frozenset[str]
    looking: frozenset[str]
    fillers: frozenset[str]
    products: frozenset[str]
    stop: frozenset[str]
    #: One pair for each subject: stems of words for the subject in requests, and its names in code.
    families: tuple[tuple[frozenset[str], tuple[str, ...]], ...]


@cache
def _vocabulary() -> _Vocabulary:
    content = tomllib.loads((Path(__file__).parent / "vocabulary.toml").read_text("utf-8"))
    families = tuple(
        (frozenset(map(stem, family["words"].split())), tuple(family["names"].split()))
        for family in content.pop("families")
    )
    lists = {name: frozenset(words.split()) for name, words in content.items()}
    return _Vocabulary(families=families, **lists)


def may_ask_to_build(request: str) -> bool:
    """True if ``request`` may ask to create or change something.

    False only in two cases:

    - Each word of the request looks like a path, such as "src/a.py".
    - The request begins with a word such as "explain" or "what", and no clause asks to build
      something. Such a clause begins with a verb such as "build", or with a new product such as
      "an app".

    Words such as "please" are ignored.
    """
    text = re.sub(r"[^\S\n]+", " ", request)[:MOST_READ_LETTERS]
    if all(map(_LIKE_A_PATH.search, text.split())):
        return False
    text = re.sub(r"\bset up\b", "setup", _ACCOUNT.sub("survey", text), flags=re.IGNORECASE)
    clauses = _CLAUSE.split(text)
    first_words = next(filter(None, map(_words_with_meaning, clauses)), None)
    asks_for_information = first_words is not None and first_words[0] in _vocabulary().looking
    return not asks_for_information or any(map(_clause_builds, clauses))


def _words_with_meaning(clause: str) -> list[str]:
    """Return a clause's words in lower case, without words such as "please"."""
    fillers = _vocabulary().fillers
    return [word for word in map(str.lower, _WORD.findall(clause)) if word not in fillers]


def _clause_builds(clause: str) -> bool:
    words, vocabulary = _words_with_meaning(clause), _vocabulary()
    if not words or words[0] in vocabulary.looking:
        return False
    names_new_thing = _NEW_THING.match(clause) is not None
    return words[0] in vocabulary.building or (
        names_new_thing and not vocabulary.products.isdisjoint(words[:_WORDS_BEFORE_A_PRODUCT])
    )


def stem(word: str) -> str:
    """Return a word without its English ending: ``session`` for ``sessions``."""
    lowered = word.lower()
    for ending in _ENDINGS:
        if lowered.endswith(ending) and len(lowered) - len(ending) >= _SHORTEST_STEM:
            return lowered.removesuffix(ending)
    return lowered


def keywords(text: str) -> list[str]:
    """Return the words that describe the subject of ``text``: lower case, in order, each once."""
    vocabulary = _vocabulary()
    ignored = vocabulary.stop | vocabulary.building | vocabulary.looking | vocabulary.fillers
    words = (word.lower() for word in re.findall(r"[A-Za-z][A-Za-z0-9]+", text))
    return list(dict.fromkeys(word for word in words if word not in ignored))


def related(words: Iterable[str]) -> dict[str, str]:
    """Return the stems of ``words`` and of related words.

    A key is a stem. The value is the item of ``words`` from which the stem comes.

    Example: "login" has the related word "session". For ``["login"]``, the result includes
    ``{"login": "login", "session": "login"}``.
    """
    stems: dict[str, str] = {}
    for word in words:
        stems.setdefault(stem(word), word)
    for root, word in list(stems.items()):
        for triggers, names in _vocabulary().families:
            if root in triggers:
                stems |= {stem(name): stems.get(stem(name), word) for name in names}
    return stems


_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*/?")
#: Words next to a path that add no other subject, such as "files" in "the files in src".
_AROUND = frozenset(
    (
        *("directory", "directories", "folder", "folders", "file", "files", "code", "source"),
        *("sources", "module", "modules", "part", "parts", "package", "packages", "everything"),
        *("every", "all", "below", "under", "inside", "there", "overview"),
    )
)


def requested_paths(words: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return the paths in a request that consists only of paths; () for any other request.

    ``words``: the request. ``files``: the paths of all files of the project. A word such as "docs"
    counts as a path only if ``docs`` exists. General words such as "folder" are ignored.
    """
    known_paths = {str(above) for path in files for above in (path, *PurePosixPath(path).parents)}
    existing_paths: dict[str, None] = {}
    other_words: list[str] = []
    for candidate in _PATH.findall(words):
        path = candidate.rstrip("./")
        is_path = path in known_paths and bool("/" in candidate or keywords(path))
        if is_path:
            existing_paths[path] = None
        else:
            other_words.append(candidate)
    if _AROUND.issuperset(keywords(" ".join(other_words))):
        return tuple(existing_paths)
    return ()
