"""Which files are code: a change of them is to be judged, a change of documents alone is not.

A path is a document if its suffix or its name is in one of the tables, and no pattern of
``_CODE_AS_TEXT`` fits it. Every other file is code: sources, scripts, configuration and data.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from posixpath import basename, splitext

_DOCUMENT_SUFFIXES = frozenset(
    (
        *(".md", ".markdown", ".rst", ".txt", ".adoc", ".asciidoc", ".org", ".tex", ".log"),
        *(".pdf", ".doc", ".docx", ".odt", ".rtf", ".ppt", ".pptx", ".drawio"),
        *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".bmp"),
    )
)
#: In any case of letters, without a suffix.
_DOCUMENT_NAMES = frozenset(
    (
        *("readme", "license", "licence", "copying", "notice", "authors", "contributors"),
        *("changelog", "changes", "history", "news", "todo", "codeowners", "maintainers"),
        *(".gitignore", ".gitattributes", ".gitkeep", ".mailmap", ".editorconfig"),
    )
)
_CODE_AS_TEXT = ("*requirements*.txt", "*constraints*.txt", "cmakelists.txt")


def is_code(path: str) -> bool:
    name = basename(path).lower()
    if any(fnmatchcase(name, each) for each in _CODE_AS_TEXT):
        return True
    return name not in _DOCUMENT_NAMES and splitext(name)[1] not in _DOCUMENT_SUFFIXES


def has_code(paths: Iterable[str]) -> bool:
    return any(map(is_code, paths))


def code_in(paths: Iterable[str]) -> list[str]:
    return [each for each in paths if is_code(each)]
