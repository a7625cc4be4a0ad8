"""Formats text for terminals: without control sequences, in columns, with readable times."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import wrap

import click

from orchestrator.cli.output.command_paths import COMMAND, split_home, with_paths_here
from orchestrator.core.text.formatting import cut, one_line

#: Blanks between two columns of a table.
GAP = "  "
#: Key in the ``meta`` of click's context. The value has the arguments after the program's name.
ARGUMENTS = f"{__name__}.arguments"
_NO_BREAK = "\0"
_COMMANDS = re.compile(rf"{re.escape(COMMAND)} [^;)]*")
#: Bold text of Markdown. In the text ``2 ** 3 ** 4``, nothing is bold.
_BOLD = re.compile(r"(?<![\w*])\*\*(?=[^\s*])(.+?)(?<=[^\s])\*\*(?![\w*])")
_COLOR = re.compile(r"\x1b\[[0-9;:]*m")
_COLORS = {
    "completed": "green",
    "success": "green",
    "recursive_success": "green",
    "partial": "yellow",
    "waiting": "yellow",
    "skipped": "yellow",
    "failed": "red",
    "timeout": "red",
    "cancelled": "red",
}


def printable(text: str) -> str:
    """Return the text without colors and control characters, except tabs and line breaks."""
    text = _COLOR.sub("", text)
    return "".join(c for c in text if c in "\n\t" or _is_harmless(c))


def pasteable(text: str) -> str:
    """Return a message as printable text, with its commands as the user types them here."""
    return with_paths_here(printable(text))


def _is_harmless(character: str) -> bool:
    control = character < " " or "\x7f" <= character <= "\x9f"
    # A lone surrogate cannot be written, and a direction override misleads the reader.
    is_unsafe = "\ud800" <= character <= "\udfff" or "\u202a" <= character <= "\u202e"
    is_unsafe = is_unsafe or "\u2066" <= character <= "\u2069"
    return not control and not is_unsafe


def echo_patch(patch: bytes) -> None:
    """Print a patch: in a terminal as printable text, otherwise byte for byte."""
    output = printable(patch.decode("utf-8", "replace")) if sys.stdout.isatty() else patch
    click.echo(output, nl=False)


def confirmed(question: str) -> bool:
    """Ask the user a question. Return True for yes, and False for no or without a terminal."""
    return sys.stdin.isatty() and click.confirm(question, err=True)


def command_with(*options: str) -> str:
    """Return the command line of this process with ``options`` added, quoted for the shell."""
    # COMMAND already has the home.
    _, arguments = split_home(click.get_current_context().meta[ARGUMENTS])
    position = arguments.index("--") if "--" in arguments else len(arguments)
    return f"{COMMAND} {shlex.join([*arguments[:position], *options, *arguments[position:]])}"


def first_line(text: object, width: int) -> str:
    """Return the first non-empty line of a text, cut to ``width`` characters."""
    return cut(next(iter(lines_of(text)), ""), width)


def lines_of(text: object) -> list[str]:
    """Return the non-empty lines of a text, without Markdown's marks such as ``#`` and ``*``."""
    plain = (_BOLD.sub(r"\1", line) for line in printable(str(text or "")).splitlines())
    lines = (line.strip(" #*\t") for line in plain)
    return [line for line in lines if line.strip("`~-=_|")]


def wrapped(text: object, width: int, indent: str = "") -> list[str]:
    """Break a text into lines of at most ``width`` characters.

    The first line begins with ``indent``, and each further line with two more blanks. Words and
    commands are not broken, so that the user can paste a command.
    """
    words = one_line(pasteable(str(text)))
    unbroken = _COMMANDS.sub(lambda match: match[0].replace(" ", _NO_BREAK), words)
    lines = wrap(
        unbroken,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def paint(status: str, width: int = 0) -> str:
    # If the output is not a terminal, Click removes the color.
    color = _COLORS.get(status)
    padded = status.ljust(width)
    return click.style(padded, fg=color) if color else padded


def terminal_width() -> int:
    return shutil.get_terminal_size().columns


def is_plain(environ: Mapping[str, str], tty: bool) -> bool:
    """True if output must not be redrawn: in CI, without a terminal, or without a usable TERM.

    ``tty``: True if the output is a terminal.
    """
    is_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return not tty or is_ci or environ.get("TERM", "dumb") == "dumb"


def table(rows: Iterable[Sequence[object]], most: int | None = None) -> str:
    """Return rows as text with aligned columns. Tabs and line breaks in cells become blanks.

    ``most``: maximum width of a column. A longer cell is not cut, but moves the next cells.
    """
    cells = [[one_line(printable(str(cell))) for cell in row] for row in rows]
    widths = [min(max(map(len, each)), most or sys.maxsize) for each in zip(*cells, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def duration(seconds: float) -> str:
    """Return a duration as text, such as ``0.8 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def moment(at: object) -> float | None:
    """Convert a time to a Unix time. ``at``: a text in ISO 8601, or a number.

    Return None for an invalid time.
    """
    if isinstance(at, int | float):
        return float(at)
    try:
        return datetime.fromisoformat(str(at)).timestamp()
    except ValueError:
        return None


def local_time(at: object) -> str:
    """Return a time as text, in the user's time zone; ``-`` if ``at`` is no valid time."""
    seconds = moment(at)
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(byte_count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if byte_count < 1024:
            return f"{byte_count:.0f} {unit}" if unit == "B" else f"{byte_count:.1f} {unit}"
        byte_count /= 1024
    return f"{byte_count:.1f} GiB"
