"""Which files are sources, in which language: a gate is to judge a change of them. Pure.

Tests, configuration, declarations, vendored and generated files are no sources: nothing that a test
imports or a compiler reads has to speak for them.
"""

import re
from posixpath import basename, splitext

from orchestrator.core.gates.files.suite_files import is_foreign, is_of_tests

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
#: Configuration in a programming language, and what is made of other sources.
_NO_SOURCES = re.compile(
    r"(?:setup|conf|noxfile|gunicorn\.conf)\.py"
    r"|(?:.*\.config|\..*rc|\.pnp|gulpfile|gruntfile)\.[cm]?[jt]s"
    r"|.*\.min\.[cm]?js|.*\.d\.[cm]?ts|.*_pb2(?:_grpc)?\.py",
    re.IGNORECASE,
)


def language_of(path: str) -> str:
    """Empty for a file that is no source."""
    name = basename(path)
    language = _LANGUAGES.get(splitext(name)[1].lower(), "")
    if not language or _NO_SOURCES.fullmatch(name):
        return ""
    return "" if is_of_tests(path) or is_foreign(path) else language


def patterns_of(*languages: str) -> tuple[str, ...]:
    """Patterns of the files of some languages."""
    return tuple(f"*.{end}" for name in languages for end in _SUFFIXES[name].split())
