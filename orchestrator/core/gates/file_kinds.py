"""Classifies files by their paths. Pure.

- Code: every file that is not a document. Gates must judge changes of code.
- Files of a test suite: tests, and files that tests read.
- Sources: code in a known programming language. Gates must judge each changed source, for example
  by tests that import the source. Tests, configuration, declarations, vendored files, and generated
  files are not sources.
"""

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from posixpath import basename, splitext

from orchestrator.core.text.lazy_pattern import lazy_pattern

_DOCUMENT_SUFFIXES = frozenset(
    (
        *(".md", ".markdown", ".rst", ".txt", ".adoc", ".asciidoc", ".org", ".tex", ".log"),
        *(".pdf", ".doc", ".docx", ".odt", ".rtf", ".ppt", ".pptx", ".drawio"),
        *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".bmp"),
    )
)
#: Names of documents without a suffix. Case is ignored.
_DOCUMENT_NAMES = frozenset(
    (
        *("readme", "license", "licence", "copying", "notice", "authors", "contributors"),
        *("changelog", "changes", "history", "news", "todo", "codeowners", "maintainers"),
        *(".gitignore", ".gitattributes", ".gitkeep", ".mailmap", ".editorconfig"),
    )
)
_CODE_AS_TEXT = ("*requirements*.txt", "*constraints*.txt", "cmakelists.txt")
#: Files that pytest reads because of their names.
PYTEST = lazy_pattern(r"(?:.*/)?(?:test_[^/]*|[^/]*_test|conftest)\.py")
#: Files that jest, vitest, and ``node --test`` run because of their names.
JAVASCRIPT = lazy_pattern(r"(?:.*/)?[^/]*[.-](?:test|spec)\.[cm]?[jt]sx?")
_DJANGO = lazy_pattern(r"(?:.*/)?tests\.py")
_GO = lazy_pattern(r"(?:.*/)?[^/]*_test\.go")
#: Directories that contain tests with their data, helpers, and snapshots.
_TEST_FOLDERS = frozenset(
    {"test", "tests", "__tests__", "spec", "specs", "__snapshots__", "testdata"}
)
#: Names of directories for vendored files, builds, and fixtures. Tests in these directories are not
#: tests of the project.
_FOREIGN = frozenset(
    {"node_modules", "vendor", "third_party", "site-packages", "venv", "build", "dist"}
    | {"fixtures", "testdata", "templates", "__fixtures__", "__mocks__"}
)

PYTHON = "Python"
_SUFFIXES = {
    PYTHON: "py",
    "Cython": "pyx",
    "JavaScript": "js jsx mjs cjs",
    "TypeScript": "ts tsx mts cts",
    "Vue": "vue",
    "Svelte": "svelte",
    "Rust": "rs",
    "Go": "go",
    "C": "c h",
    "C++": "cc cpp cxx hh hpp hxx",
    "C#": "cs",
    "F#": "fs",
    "Java": "java",
    "Kotlin": "kt",
    "Scala": "scala",
    "Groovy": "groovy",
    "Clojure": "clj cljs cljc",
    "Swift": "swift",
    "Objective-C": "m mm",
    "Dart": "dart",
    "Ruby": "rb",
    "PHP": "php",
    "Perl": "pl pm",
    "Lua": "lua",
    "R": "r",
    "Julia": "jl",
    "Elixir": "ex exs",
    "Erlang": "erl",
    "Haskell": "hs",
    "OCaml": "ml mli",
    "Zig": "zig",
    "shell": "sh bash zsh",
    "PowerShell": "ps1 psm1",
}
_LANGUAGES = {f".{end}": name for name, ends in _SUFFIXES.items() for end in ends.split()}
#: Suffixes of texts that people write: documents, schemas, and definitions of infrastructure.
_WRITTEN_SUFFIXES = frozenset({".md", ".rst", ".adoc", ".sql", ".proto", ".graphql", ".tf"})
#: Configuration in a programming language, and files generated from other sources.
_NO_SOURCES = lazy_pattern(
    r"(?:setup|conf|noxfile|gunicorn\.conf)\.py"
    r"|(?:.*\.config|\..*rc|\.pnp|gulpfile|gruntfile)\.[cm]?[jt]s"
    r"|.*\.min\.[cm]?js|.*\.d\.[cm]?ts|.*_pb2(?:_grpc)?\.py",
    re.IGNORECASE,
)


def is_code(path: str) -> bool:
    name = basename(path).lower()
    if any(fnmatchcase(name, each) for each in _CODE_AS_TEXT):
        return True
    return name not in _DOCUMENT_NAMES and splitext(name)[1] not in _DOCUMENT_SUFFIXES


def has_code(paths: Iterable[str]) -> bool:
    return any(map(is_code, paths))


def code_in(paths: Iterable[str]) -> list[str]:
    return [each for each in paths if is_code(each)]


def is_of_tests(path: str) -> bool:
    """True for a test, or a file that tests read, such as data, helpers, and snapshots."""
    *above, _ = path.split("/")
    has_test_name = any(each.fullmatch(path) for each in (PYTEST, _DJANGO, JAVASCRIPT, _GO))
    return has_test_name or not _TEST_FOLDERS.isdisjoint(above)


def own_files(paths: Iterable[str], kind: re.Pattern[str]) -> Iterator[str]:
    """Yield the paths that match ``kind``, except foreign files (see ``is_foreign``).

    Files near the top directory come first.
    """
    for path in sorted(paths, key=lambda each: (each.count("/"), each)):
        if kind.fullmatch(path) and not is_foreign(path):
            yield path


def is_foreign(path: str) -> bool:
    """True if a directory of the path is hidden, or is for vendored files, builds, or fixtures."""
    return any(each in _FOREIGN or each.startswith(".") for each in path.split("/")[:-1])


def language_of(path: str) -> str:
    """Return the programming language of a source; "" if the file is not a source."""
    name = basename(path)
    language = _LANGUAGES.get(splitext(name)[1].lower(), "")
    if not language or _NO_SOURCES.fullmatch(name):
        return ""
    return "" if is_of_tests(path) or is_foreign(path) else language


def is_written_by_people(path: str) -> bool:
    """True for a source, a test, or another text that people write and that tools rarely create."""
    name = basename(path)
    suffix = splitext(name)[1].lower()
    is_kind = suffix in _LANGUAGES or suffix in _WRITTEN_SUFFIXES
    return is_kind and not (_NO_SOURCES.fullmatch(name) or is_foreign(path))


def patterns_of(*languages: str) -> tuple[str, ...]:
    return tuple(f"*.{end}" for name in languages for end in _SUFFIXES[name].split())
