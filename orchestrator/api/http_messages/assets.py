"""The dashboard's files.

Each file's address contains the version of the dashboard, which changes with any file. Browsers can
therefore cache the files. All modules are sent as one file, and all stylesheets as another file. A
browser opens only six connections, so many small files would wait for each other. On a slow
connection, 60 files take ten times as long as six files.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

STATIC = Path(__file__).parents[1] / "static"
PREFIX = "/static/v/"
FOLDERS = ("app", "styles", "vendor")
#: Seconds for which browsers cache a file: a month, because a new version has another address.
CACHE_SECONDS = 30 * 24 * 3600
ENTRY = "app/main.js"
#: The file with all modules. Modules are two folders deep, and so is this file. The relative
#: addresses in modules therefore stay valid.
SCRIPT = "app/all/dashboard.js"
STYLESHEET = "styles/all/dashboard.css"
#: Stylesheets in the order in which they are joined: later rules replace earlier rules.
STYLES = (
    "vendor/uplot.css",
    *(
        f"styles/{name}.css"
        for name in (
            "tokens",
            "base",
            "controls",
            "lists",
            "job",
            "log",
            "changes",
            "forms",
            "notes",
            "widths",
        )
    ),
)
TYPES = {SCRIPT: "text/javascript", STYLESHEET: "text/css"}

_SESSION = '<link rel="preload" as="fetch" href="/api/v1/session" crossorigin>\n'
_DIGITS = 12
#: Import and export statements of a module, in the forms that the dashboard and the minified
#: libraries use.
_IMPORT = re.compile(r'^import\s*(?:(\w+)|\{([^}]*)\})\s*from\s*"(\.[^"]+)";?', re.M)
_REEXPORTED = re.compile(r'^export\s*\{([^}]*)\}\s*from\s*"(\.[^"]+)";?', re.M)
_LISTED = re.compile(r"(?:^|(?<=[;}]))export\s*\{([^}]*)\};?", re.M)
_DEFAULT = re.compile(r"(?:^|(?<=;))export default ", re.M)
_DECLARED = re.compile(r"^export ((?:async )?(?:const|class|function\*?) (\w+))", re.M)
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*\n?", re.M)


def version() -> str:
    """Return the version of the dashboard: a hash of its files' paths, times, and sizes."""
    digest = hashlib.sha256()
    for path in _files():
        status = path.stat()
        digest.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def page(version: str, has_session: bool) -> str:
    """Return the dashboard's page, in which the address of each file contains ``version``.

    ``has_session``: True if the browser has a session. The browser then loads ``/api/v1/session``
    at the same time as the files.
    """
    text = (STATIC / "index.html").read_text("utf-8").replace('"/static/', f'"{PREFIX}{version}/')
    return text.replace("</head>", f"{_SESSION}</head>") if has_session else text


@lru_cache(maxsize=4)
def joined(version: str, name: str) -> str:
    """Return one text: all modules if ``name`` is SCRIPT, all stylesheets if it is STYLESHEET.

    Results are cached by ``version``, the dashboard's present version. Raise ValueError if modules
    import each other.
    """
    if name == STYLESHEET:
        return "".join((STATIC / each).read_text("utf-8").rstrip() + "\n" for each in STYLES)
    texts: dict[str, str] = {}
    _add(ENTRY, texts, ())
    return "".join(f"// {module}\n{text}" for module, text in texts.items())


def _add(module: str, texts: dict[str, str], importing: tuple[str, ...]) -> None:
    """Add a module to ``texts``, after the modules that it imports.

    ``importing``: the modules whose imports are being added. Raise ValueError for a cycle.
    """
    if module in importing:
        raise ValueError(f"modules import each other: {', '.join((*importing, module))}")
    if module in texts:
        return
    path = STATIC / module
    text = _SOURCE_MAP.sub("", path.read_text("utf-8"))
    for statement in (_IMPORT, _REEXPORTED):
        for match in statement.finditer(text):
            _add(_target(path, match[match.re.groups]), texts, (*importing, module))
    texts[module] = _as_function(path, text)


def _as_function(path: Path, text: str) -> str:
    """Return a module's code as ``const $name = (() => { code; return {exports}; })();``.

    The function keeps the module's names separate from the names of other modules.
    """
    exports: list[str] = []

    def imported(match: re.Match[str]) -> str:
        names = f"default: {match[1]}" if match[1] else match[2].replace(" as ", ": ")
        return f"const {{ {names.strip()} }} = {_constant(_target(path, match[3]))};"

    def reexported(match: re.Match[str]) -> str:
        exports.append(f"...{_constant(_target(path, match[2]))}")
        return ""

    def listed(match: re.Match[str]) -> str:
        for each in match[1].split(","):
            name, _, exported = each.strip().partition(" as ")
            if name:
                exports.append(f"{exported or name}: {name}")
        return ""

    def default(_: re.Match[str]) -> str:
        exports.append("default: exported")
        return "const exported = "

    def declared(match: re.Match[str]) -> str:
        exports.append(match[2])
        return match[1]

    text = _REEXPORTED.sub(reexported, _IMPORT.sub(imported, text))
    text = _LISTED.sub(listed, _DEFAULT.sub(default, text))
    text = _DECLARED.sub(declared, text)
    name = _constant(path.relative_to(STATIC).as_posix())
    return f"const {name} = (() => {{\n{text}\nreturn {{ {', '.join(exports)} }};\n}})();\n"


def _target(path: Path, address: str) -> str:
    return (path.parent / address).resolve().relative_to(STATIC.resolve()).as_posix()


def _constant(module: str) -> str:
    return "$" + re.sub(r"\W", "_", module)


def _files() -> list[Path]:
    folders = (STATIC / name for name in FOLDERS)
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sorted([*files, *STATIC.glob("*.*")])
