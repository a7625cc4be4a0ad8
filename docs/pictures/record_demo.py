"""Record a run of ``orchestrator demo``, and write the README's pictures of it.

``.venv/bin/python docs/pictures/record_demo.py`` runs the demo in a terminal of its own and writes
``demo-light.svg`` and ``demo-dark.svg`` beside this file. Needs the packages of
``requirements-dev.txt``. Takes half a minute.
"""

import argparse
import fcntl
import os
import pty
import re
import shutil
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

HERE = Path(__file__).resolve().parent
COMMAND = HERE.parents[1] / "bin" / "orchestrator"
#: What the first frame shows as typed.
TYPED = "$ bin/orchestrator demo"
COLUMNS, LINES = 106, 28
#: Between two frames at least, and at most: long pauses are cut.
LEAST_SECONDS, MOST_SECONDS = 0.25, 0.6
#: Of the first frame, of the last frame, and of all others together.
FIRST_SECONDS, LAST_SECONDS, OTHER_SECONDS = 1.0, 6.0, 13.0

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 8.4, 18, 14
PADDING, TITLE_HEIGHT = 14, 30
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

#: A style that the screen does not know: faint text becomes the color "bright black".
FAINT, BRIGHT_BLACK = "\x1b[2m", "\x1b[90m"


@dataclass(frozen=True, kw_only=True)
class Theme:
    background: str
    border: str
    text: str
    #: By color name of the screen.
    colors: Mapping[str, str]


#: Each color has a contrast of at least 4.5 to its background.
THEMES = {
    "light": Theme(
        background="#ffffff",
        border="#d0d7de",
        text="#1f2328",
        colors={
            "green": "#116329",
            "red": "#cf222e",
            "brown": "#7d4e00",
            "cyan": "#1b6d85",
            "brightblack": "#59636e",
        },
    ),
    "dark": Theme(
        background="#0d1117",
        border="#30363d",
        text="#e6edf3",
        colors={
            "green": "#3fb950",
            "red": "#ff7b72",
            "brown": "#d29922",
            "cyan": "#56d4dd",
            "brightblack": "#9198a1",
        },
    ),
}


@dataclass(frozen=True)
class Span:
    """Characters of one style, from a column on."""

    column: int
    text: str
    color: str
    is_bold: bool


Row = tuple[Span, ...]


@dataclass(frozen=True)
class Frame:
    """What the screen shows for some seconds."""

    seconds: float
    rows: tuple[Row, ...]


def record(command: Sequence[str], columns: int, lines: int) -> Iterator[tuple[float, str]]:
    """Run a command in a new terminal. Yield each output, and the seconds since the start.

    Raise RuntimeError if the command fails.
    """
    process, terminal = pty.fork()
    if process == 0:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
        plain |= {"TERM": "xterm-256color", "CI": "", "NO_COLOR": ""}
        os.execve(command[0], [*command], plain)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    began, rest = time.monotonic(), b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        # A character may be split between two pieces.
        text = (rest + piece).decode("utf-8", "ignore")
        rest = (rest + piece)[len(text.encode()) :]
        yield time.monotonic() - began, text
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {code}")


def frames(recorded: Sequence[tuple[float, str]], columns: int, lines: int) -> list[Frame]:
    """Return the frames of a recording with their times. The first frame has only the typed
    command.
    """
    screen = pyte.Screen(columns, lines)
    stream = pyte.Stream(screen)
    stream.feed(f"{TYPED}\r\n")
    shown = [(0.0, rows_of(screen))]
    for at, text in recorded:
        stream.feed(text.replace(FAINT, BRIGHT_BLACK))
        rows = rows_of(screen)
        # A later state replaces one that was shown too shortly to be seen.
        if at - shown[-1][0] < LEAST_SECONDS and len(shown) > 1:
            shown[-1] = (shown[-1][0], rows)
        elif rows != shown[-1][1]:
            shown.append((at, rows))
    ends = [*(at for at, _ in shown[1:]), shown[-1][0]]
    return [Frame(end - at, rows) for (at, rows), end in zip(shown, ends, strict=True)]


def rows_of(screen: pyte.Screen) -> tuple[Row, ...]:
    return tuple(_row(screen, number) for number in range(screen.lines))


def _row(screen: pyte.Screen, number: int) -> Row:
    line = screen.buffer[number]
    cells = [(column, line[column]) for column in range(screen.columns)]
    spans = []
    for (color, is_bold), found in groupby(cells, key=lambda cell: (cell[1].fg, cell[1].bold)):
        run = list(found)
        text = "".join(cell.data for _, cell in run)
        if text.strip():
            blanks = len(text) - len(text.lstrip())
            spans.append(Span(run[0][0] + blanks, text.strip(), color, is_bold))
    return tuple(spans)


def played(recorded: Sequence[Frame]) -> list[Frame]:
    """Return the frames with their display times: long pauses are cut, and the last frame stays
    longer.
    """
    between = [min(frame.seconds, MOST_SECONDS) for frame in recorded[1:-1]]
    pace = min(1.0, OTHER_SECONDS / (sum(between) or 1.0))
    seconds = [FIRST_SECONDS, *(each * pace for each in between), LAST_SECONDS]
    return [Frame(each, frame.rows) for each, frame in zip(seconds, recorded, strict=True)]


def render(shown: Sequence[Frame], columns: int, lines: int, theme: Theme) -> str:
    """Return an animated SVG without scripts: one column of all frames, which moves frame by
    frame.
    """
    width = round(columns * CELL_WIDTH + 2 * PADDING)
    height = lines * CELL_HEIGHT + 2 * PADDING + TITLE_HEIGHT
    #: The text of each different row, once.
    names: dict[Row, str] = {(): ""}
    for row in (row for frame in shown for row in frame.rows):
        names.setdefault(row, f"r{len(names)}")
    definitions = "".join(_text(names[row], row) for row in names if row)
    drawn = "".join(
        f'<use href="#{names[row]}" y="{(first * lines + number) * CELL_HEIGHT}"/>'
        for first, frame in enumerate(shown)
        for number, row in enumerate(frame.rows)
        if row
    )
    view = lines * CELL_HEIGHT
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-labelledby="t">
<title id="t">A run of bin/orchestrator demo: four workers in parallel, a child job, a rejected \
gate, a merge conflict, and the landed result</title>
<style>
{_style(shown, view, theme)}</style>
<defs>{definitions}</defs>
<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" class="w"/>
<circle cx="20" cy="17" r="5"/><circle cx="38" cy="17" r="5"/><circle cx="56" cy="17" r="5"/>
<svg x="{PADDING}" y="{PADDING + TITLE_HEIGHT}" width="{width - 2 * PADDING}" height="{view}">
<g class="f">{drawn}</g>
</svg>
</svg>
"""


def _style(shown: Sequence[Frame], view: int, theme: Theme) -> str:
    colors = "".join(f".{name}{{fill:{color}}}\n" for name, color in theme.colors.items())
    last = -(len(shown) - 1) * view
    total = sum(frame.seconds for frame in shown)
    begins = [sum(frame.seconds for frame in shown[:number]) for number in range(len(shown))]
    steps = "".join(
        f"{100 * at / total:.3f}%{{transform:translateY({-number * view}px)}}\n"
        for number, at in enumerate(begins)
    )
    return f"""\
text{{font:{FONT_SIZE}px {FONTS};fill:{theme.text};white-space:pre}}
.b{{font-weight:bold}}
{colors}.w{{fill:{theme.background};stroke:{theme.border}}}
circle{{fill:{theme.border}}}
.f{{animation:f {total:.2f}s step-end infinite;transform:translateY({last}px)}}
@keyframes f{{
{steps}100%{{transform:translateY({last}px)}}
}}
@media (prefers-reduced-motion:reduce){{.f{{animation:none}}}}
"""


def _text(name: str, row: Row) -> str:
    """Return a row of text with a fixed length, so that every font keeps the columns."""
    spans = "".join(
        f'<tspan x="{span.column * CELL_WIDTH:g}" textLength="{len(span.text) * CELL_WIDTH:g}"'
        f"{_class(span)}>{escape(span.text, quote=False)}</tspan>"
        for span in row
    )
    return f'<text id="{name}" y="{FONT_SIZE}">{spans}</text>\n'


def _class(span: Span) -> str:
    names = [span.color] * (span.color != "default") + ["b"] * span.is_bold
    return f' class="{" ".join(names)}"' if names else ""


def folder_of(recorded: Sequence[tuple[float, str]]) -> Path | None:
    """The directory of the demo, which its first line names."""
    found = re.search(r"^demo: (/\S+)", "".join(text for _, text in recorded), re.MULTILINE)
    return Path(found[1]) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=HERE, help="Directory of the pictures.")
    to = parser.parse_args().to
    recorded = list(record([str(COMMAND), "demo"], COLUMNS, LINES))
    folder = folder_of(recorded)
    if folder is not None and folder.name.startswith("orchestrator-demo-"):
        shutil.rmtree(folder)
    shown = played(frames(recorded, COLUMNS, LINES))
    for name, theme in THEMES.items():
        path = to / f"demo-{name}.svg"
        path.write_text(render(shown, COLUMNS, LINES, theme), "utf-8")
        seconds = sum(frame.seconds for frame in shown)
        size = path.stat().st_size
        print(f"{path}: {len(shown)} frames, {seconds:.1f} s, {size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
