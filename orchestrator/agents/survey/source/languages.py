"""The language of a file, from its name or its ``#!`` line."""

import re
from pathlib import PurePosixPath

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Syntax:
    """The comment syntax of a language: line comment marks, and pairs of block comment marks."""

    line: tuple[str, ...] = ()
    block: tuple[tuple[str, str], ...] = ()
    #: True if ``"..."`` on one line is a string, in which no comment starts.
    quoted: bool = False
    #: True for prose: every non-blank line counts as comment.
    prose: bool = False


_C = Syntax(line=("//",), block=(("/*", "*/"),), quoted=True)
_HASH = Syntax(line=("#",))
_XML = Syntax(block=(("<!--", "-->"),))
_TEMPLATE = Syntax(block=(("<!--", "-->"), ("{#", "#}"), ("{% comment %}", "{% endcomment %}")))
_PROSE = Syntax(prose=True)
_DASH = Syntax(line=("--",), block=(("/*", "*/"),))
_LISP = Syntax(line=(";",), quoted=True)
_PERCENT = Syntax(line=("%",))
_NONE = Syntax()

#: Languages with their comment syntax and the endings of their files.
_LANGUAGES: tuple[tuple[str, Syntax, str], ...] = (
    ("Python", _HASH, "py pyi pyw"),
    ("JavaScript", _C, "js mjs cjs jsx"),
    ("TypeScript", _C, "ts mts cts"),
    ("TSX", _C, "tsx"),
    ("Go", _C, "go"),
    ("Rust", _C, "rs"),
    ("Java", _C, "java"),
    ("C", _C, "c"),
    ("C++", _C, "cc cpp cxx c++ hpp hh hxx ipp"),
    ("C/C++ header", _C, "h"),
    ("C#", _C, "cs"),
    ("Ruby", _HASH, "rb rake gemspec ru"),
    ("PHP", _C, "php phtml"),
    ("Bash", _HASH, "sh bash zsh ksh bats"),
    ("Kotlin", _C, "kt kts"),
    ("Swift", _C, "swift"),
    ("Scala", _C, "scala sc"),
    ("Dart", _C, "dart"),
    ("Groovy", _C, "groovy gradle"),
    ("Objective-C", _C, "m mm"),
    ("Zig", Syntax(line=("//",)), "zig"),
    ("Protocol Buffers", _C, "proto"),
    ("Solidity", _C, "sol"),
    ("CUDA", _C, "cu cuh"),
    ("Vue", _XML, "vue"),
    ("Svelte", _XML, "svelte"),
    ("Perl", _HASH, "pl pm"),
    ("R", _HASH, "r"),
    ("Julia", Syntax(line=("#",), block=(("#=", "=#"),)), "jl"),
    ("Elixir", _HASH, "ex exs"),
    ("Erlang", _PERCENT, "erl hrl"),
    ("Haskell", Syntax(line=("--",), block=(("{-", "-}"),)), "hs"),
    ("OCaml", Syntax(block=(("(*", "*)"),)), "ml mli"),
    ("F#", Syntax(line=("//",), block=(("(*", "*)"),)), "fs fsi fsx"),
    ("Lua", Syntax(line=("--",), block=(("--[[", "]]"),)), "lua"),
    ("SQL", _DASH, "sql"),
    ("Clojure", _LISP, "clj cljs cljc edn"),
    ("Lisp", _LISP, "lisp el scm"),
    ("Fortran", Syntax(line=("!",)), "f90 f95 f03 f08"),
    ("Pascal", Syntax(line=("//",), block=(("{", "}"),)), "pas"),
    ("Visual Basic", Syntax(line=("'",)), "vb vbs"),
    ("PowerShell", Syntax(line=("#",), block=(("<#", "#>"),)), "ps1 psm1"),
    ("Batch", Syntax(line=("::", "rem ", "REM ", "@rem ", "@REM ")), "bat cmd"),
    ("Cython", _HASH, "pyx pxd"),
    ("HTML", _TEMPLATE, "html htm xhtml j2 jinja jinja2"),
    ("CSS", Syntax(block=(("/*", "*/"),)), "css"),
    ("Sass", _C, "scss sass less"),
    ("XML", _XML, "xml xsd xsl xslt svg kml gml plist csproj resx"),
    ("JSON", _NONE, "json geojson jsonl ipynb webmanifest"),
    ("JSON with comments", _C, "jsonc json5"),
    ("YAML", _HASH, "yaml yml"),
    ("TOML", _HASH, "toml"),
    ("INI", Syntax(line=("#", ";")), "ini cfg conf properties editorconfig"),
    ("Environment file", _HASH, "env"),
    ("Nix", Syntax(line=("#",), block=(("/*", "*/"),)), "nix"),
    ("Terraform", Syntax(line=("#", "//"), block=(("/*", "*/"),)), "tf tfvars hcl"),
    ("GraphQL", _HASH, "graphql gql"),
    ("CMake", _HASH, "cmake"),
    ("Makefile", _HASH, "mk mak"),
    ("Gettext", _HASH, "po pot"),
    ("CSV", _NONE, "csv tsv"),
    ("Patch", _NONE, "patch diff"),
    ("Markdown", _PROSE, "md markdown mdx"),
    ("reStructuredText", _PROSE, "rst"),
    ("AsciiDoc", _PROSE, "adoc asciidoc"),
    ("TeX", _PERCENT, "tex sty bib"),
    ("Text", _PROSE, "txt"),
)
_NAMES = {
    "dockerfile": "Dockerfile",
    "containerfile": "Dockerfile",
    "makefile": "Makefile",
    "gnumakefile": "Makefile",
    "rakefile": "Ruby",
    "gemfile": "Ruby",
    "vagrantfile": "Ruby",
    "jenkinsfile": "Groovy",
    "cmakelists.txt": "CMake",
    "build.bazel": "Starlark",
    "gruntfile": "JavaScript",
    "go.mod": "Go module",
    "cargo.lock": "Lock file",
    "uv.lock": "Lock file",
    "poetry.lock": "Lock file",
    "gemfile.lock": "Lock file",
    "composer.lock": "Lock file",
    "package-lock.json": "Lock file",
    "yarn.lock": "Lock file",
    "pnpm-lock.yaml": "Lock file",
    "go.sum": "Lock file",
    "pipfile": "TOML",
    "pipfile.lock": "Lock file",
    "procfile": "YAML",
    ".gitignore": "Ignore list",
    ".dockerignore": "Ignore list",
    ".npmignore": "Ignore list",
    ".gitattributes": "Ignore list",
    ".flake8": "INI",
    ".pylintrc": "INI",
    ".bashrc": "Bash",
    ".profile": "Bash",
}
_PROSE_NAMES = frozenset(
    {"authors", "bugs", "changelog", "changes", "code_of_conduct", "contributing", "copying"}
    | {"faq", "install", "license", "maintainers", "news", "notice", "readme", "support"}
    | {"thanks", "todo"}
)
_INTERPRETERS = {
    "python": "Python",
    "pypy": "Python",
    "node": "JavaScript",
    "deno": "TypeScript",
    "ruby": "Ruby",
    "php": "PHP",
    "perl": "Perl",
    "rscript": "R",
    "lua": "Lua",
    "make": "Makefile",
    "sh": "Bash",
    "bash": "Bash",
    "dash": "Bash",
    "zsh": "Bash",
    "ksh": "Bash",
    "pwsh": "PowerShell",
}
#: Language of text files with an unknown language.
OTHER = "Other text"
#: The language of files whose content is not text.
BINARY = "Binary"

_BY_ENDING = {ending: name for name, _syntax, endings in _LANGUAGES for ending in endings.split()}
_SYNTAX = {name: syntax for name, syntax, _endings in _LANGUAGES} | {
    "Dockerfile": _HASH,
    "Starlark": _HASH,
    "Go module": _C,
    "Lock file": _NONE,
    "Ignore list": _HASH,
    OTHER: _NONE,
}
_INTERPRETER = re.compile(r"#!\s*(?:\S*/env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(\S+)")


def language_of(path: str) -> str | None:
    """Return the language by the file's name; None if the name does not indicate a language."""
    name = PurePosixPath(path).name.lower()
    if name in _NAMES:
        return _NAMES[name]
    stem, dot, ending = name.rpartition(".")
    if dot and ending in _BY_ENDING:
        return _BY_ENDING[ending]
    if stem == "dockerfile" or name.startswith("dockerfile."):
        return "Dockerfile"
    return "Text" if name.split(".")[0] in _PROSE_NAMES else None


def interpreter_language(first_line: str) -> str | None:
    """Return the language of a script by its ``#!`` line; None if the language is unknown."""
    match = _INTERPRETER.match(first_line)
    if match is None:
        return None
    program = match[1].rpartition("/")[2].lower()
    return _INTERPRETERS.get(program) or _INTERPRETERS.get(program.rstrip("0123456789."))


def syntax_of(language: str) -> Syntax:
    """Return the comment syntax of ``language``; empty if the language has no comments."""
    return _SYNTAX.get(language, _NONE)
