"""Creates the lines of one frame of ``top``'s screen."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import field

from orchestrator.cli.follow.top.screen_model import JobLine, Snapshot, WorkerLine
from orchestrator.cli.follow.top.visible_rows import Row, View
from orchestrator.cli.output.style import Style
from orchestrator.cli.output.terminal_text import first_line, printable
from orchestrator.cli.output.text_width import columns, fit, padded
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.text.formatting import AT_LEAST, plural, rounded_dollars

#: Minimum columns and lines of the terminal. On a smaller terminal, no rows are drawn.
LEAST_WIDTH, LEAST_HEIGHT = 40, 6
#: Lines of a frame besides the rows: the head, the titles, and the foot.
ROWS_AROUND = 3
#: Width of each column, and the minimum width of the terminal at which the column is shown.
_WIDTHS: Mapping[str, tuple[int, int]] = {
    "AGENT": (10, 56),
    "STATUS": (10, 40),
    "ATTEMPT": (7, 96),
    "TOKENS": (7, 72),
    "COST": (8, 64),
    "TIME": (8, 48),
    "GATES": (5, 104),
}
_NUMBERS = frozenset({"ATTEMPT", "TOKENS", "COST", "TIME", "GATES"})
#: Width of the column with job and worker. Minimum width of the terminal at which the last line of
#: each worker's output is shown.
_NAME_WIDTH, _LAST_LINE_FROM = 18, 110
#: Style of a row, by the status of its worker or job.
_STYLE_NAMES: Mapping[str, str] = {
    WorkerStatus.SUCCESS: "good",
    WorkerStatus.RECURSIVE_SUCCESS: "good",
    "completed": "good",
    WorkerStatus.FAILED: "bad",
    WorkerStatus.TIMEOUT: "bad",
    WorkerStatus.WAITING: "waiting",
    "partial": "waiting",
    WorkerStatus.PENDING: "dim",
    WorkerStatus.SKIPPED: "dim",
    WorkerStatus.CANCELLED: "dim",
}
_SHORT: Mapping[str, str] = {WorkerStatus.RECURSIVE_SUCCESS: "success+"}

KEYS = (
    "enter log · d diff · a approve · r retry · x cancel · m message · p pause · o sort · t tree · "
    "/ search · ? keys · q quit"
)
HELP = (
    "up, down, j, k   select a row            page up, page down, home, end",
    "left, right      close or open a job     enter   open or close the worker's log",
    "d   changes of the worker, or of the job",
    "a   approve the plan of the job          r   retry the worker, or the job",
    "x   cancel the worker, or the job        m   send a message to the worker",
    "p   pause the job, or resume it          o   order: attention, index, time, cost",
    "t   show child jobs below their workers  /   show rows with a text; escape: all rows",
    "q   quit                                 Ctrl-L   redraw the screen",
)


@dataclass(slots=True)
class Pane:
    """The area of the screen with a log, changes, or help."""

    title: str
    lines: Sequence[str] = ()
    #: Number of hidden lines after the visible lines; 0: show the end, and follow new lines.
    lines_below: int = 0
    #: True: the pane replaces the rows. False: the pane is below the rows.
    is_whole: bool = False


@dataclass(kw_only=True, slots=True)
class Frame:
    snapshot: Snapshot
    view: View
    pane: Pane | None = None
    #: A question, and the text that the user types, for the last line; empty: the last line lists
    #: the keys.
    prompt: str = ""
    #: The outcome of the latest action.
    notice: str = ""
    style: Style = field(default_factory=lambda: Style(is_on=False))
    #: True if the terminal shows more than ASCII.
    is_unicode: bool = True

    def lines(self, width: int, height: int) -> list[str]:
        """Return the frame: ``height`` lines of at most ``width`` columns each."""
        if width < LEAST_WIDTH or height < LEAST_HEIGHT:
            text = f"{width}x{height} is too small; use {LEAST_WIDTH}x{LEAST_HEIGHT}"
            return [fit(text, width)] + [""] * (height - 1)
        body = height - ROWS_AROUND
        pane_lines = self._pane_lines(body)
        rows = body - len(pane_lines)
        row_lines = [self._row(row, width) for row in self.view.window(rows)] if rows else []
        if rows and not row_lines:
            row_lines = [self._empty_text()]
        row_lines += [""] * (rows - len(row_lines))
        lines = [self._head(width), self._titles(width), *row_lines, *pane_lines, self._foot()]
        return [fit(self._displayable(line), width) for line in lines]

    def _displayable(self, line: str) -> str:
        return line if self.is_unicode else line.replace("·", "|").replace("▸", ">")

    def _empty_text(self) -> str:
        if self.view.text:
            return f"  no row contains {self.view.text!r}; press escape to show all rows"
        return "  no jobs" if self.snapshot.at else "  reading the jobs ..."

    def _head(self, width: int) -> str:
        snapshot = self.snapshot
        parts = [
            "read-only: no server runs" if snapshot.is_offline else "orchestrator",
            f"{plural(snapshot.total, 'job')}, {snapshot.unfinished} unfinished",
        ]
        if not snapshot.is_offline:  # without a server, the numbers are not current
            parts += [f"{plural(snapshot.running, 'worker')} running"]
            qualifier = AT_LEAST if snapshot.cost_is_partial else ""
            parts += [rounded_dollars(snapshot.cost_usd, qualifier)]
        parts += [f"waiting for you: {snapshot.needs}"] if snapshot.needs else []
        parts += [f"order: {self.view.order.value}"] if width > 100 else []
        parts += [f"search: {self.view.text}"] if self.view.text else []
        parts += [snapshot.problem] if snapshot.problem else []
        time_text = time.strftime("%H:%M:%S", time.localtime(snapshot.at)) if snapshot.at else ""
        text = fit(" · ".join(map(printable, parts)), width - len(time_text) - 1)
        style = self.style.bad if snapshot.problem else self.style.bold
        return style(f"{padded(text, width - len(time_text))}{time_text}")

    def _foot(self) -> str:
        if self.prompt:
            return self.style.bold(printable(self.prompt))
        return printable(self.notice) or self.style.dim(KEYS)

    # Rows

    def _shown_columns(self, width: int) -> list[str]:
        return [name for name, (_, least) in _WIDTHS.items() if width >= least]

    def _flexible_widths(self, width: int) -> tuple[int, int]:
        """Return the widths of the two flexible columns: title, and last line of output."""
        used_width = (
            2 + _NAME_WIDTH + sum(_WIDTHS[name][0] + 1 for name in self._shown_columns(width)) + 1
        )
        free = max(0, width - used_width)
        return (free // 2, free - free // 2 - 1) if width >= _LAST_LINE_FROM else (free, 0)

    def _titles(self, width: int) -> str:
        _, last = self._flexible_widths(width)
        cells = {name: name for name in self._shown_columns(width)}
        line = self._cells("  JOB / WORKER", "TITLE", cells, "LAST LINE" if last else "", width)
        return self.style.dim(line)

    def _cells(self, name: str, title: str, cells: Mapping[str, str], last: str, width: int) -> str:
        title_width, last_width = self._flexible_widths(width)
        parts = [padded(fit(printable(name), _NAME_WIDTH + 2), _NAME_WIDTH + 2)]
        parts.append(padded(fit(title, title_width), title_width))
        for column in self._shown_columns(width):
            cell_width = _WIDTHS[column][0]
            text = fit(printable(cells.get(column, "")), cell_width)
            blank = " " * max(0, cell_width - columns(text))
            parts.append(f"{blank}{text}" if column in _NUMBERS else f"{text}{blank}")
        parts += [fit(last, last_width)] if last_width else []
        return " ".join(parts).rstrip()

    def _row(self, row: Row, width: int) -> str:
        mark = "▸" if row.key == self.view.selected else " "
        line = self._worker(row, row.worker, mark, width) if row.worker else None
        line = line or self._job(row.job, mark, width)
        if row.key == self.view.selected:
            return self.style.bold(line)
        status = row.worker.status if row.worker else row.job.status
        return self.style.of(_STYLE_NAMES.get(status, ""))(line)

    def _worker(self, row: Row, worker: WorkerLine, mark: str, width: int) -> str:
        indent = "  " * min(row.indent, 6)
        is_bad = worker.status in (WorkerStatus.FAILED, WorkerStatus.TIMEOUT)
        name = f"{mark}{'!' if is_bad else ' '}{indent}{worker.worker_id}"
        key = (row.job.job_id, worker.worker_id)
        last = self.snapshot.last_lines.get(key) or first_line(worker.reason, width)
        gates = worker.gates
        cells = {
            "AGENT": worker.agent,
            "STATUS": _SHORT.get(worker.status, worker.status),
            "ATTEMPT": str(worker.attempt or "-"),
            "TOKENS": count(worker.tokens),
            "COST": cost(worker.cost_usd),
            "TIME": clock(worker.seconds(row.job.now(self.snapshot.at))),
            "GATES": f"{gates[0]}/{gates[1]}" if gates else "-",
        }
        title = first_line(worker.title, width)
        return self._cells(name, title, cells, printable(last).replace("\t", " "), width)

    def _job(self, job: JobLine, mark: str, width: int) -> str:
        is_open = "-" if self.view.is_open(job) else "+"
        state = "paused" if job.is_paused and not job.has_ended else job.status
        cells = {
            "STATUS": state,
            "TOKENS": count(job.tokens),
            "COST": cost(job.cost_usd),
            "TIME": clock(job.seconds(self.snapshot.at)),
        }
        last = first_line("; ".join(job.needs) or job.reason, width)
        name = f"{mark}{'!' if job.needs else ' '}{is_open} {job.job_id}"
        bad = f" !{job.failed}" if job.failed else ""
        title = f"{job.done}/{job.total}{bad} {first_line(job.request, width)}"
        return self._cells(name, title, cells, last, width)

    # Below the rows

    def _pane_lines(self, body: int) -> list[str]:
        pane = self.pane
        if pane is None:
            return []
        height = body if pane.is_whole else max(3, body // 2)
        line_count = height - 1
        end = max(0, len(pane.lines) - pane.lines_below)
        lines = pane.lines[max(0, end - line_count) : end]
        visible_lines = [printable(each).replace("\t", "    ") for each in lines]
        rule = "─" if self.is_unicode else "-"
        head = self.style.dim(f"{rule * 3} {printable(pane.title)} {rule * 3}")
        return [head, *visible_lines, *[""] * (line_count - len(visible_lines))]


def count(number: int | None) -> str:
    """Return a number as short text, such as ``950``, ``41.2k`` or ``1.3M``."""
    if not number:
        return "-"
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def cost(dollars: float | None) -> str:
    if not dollars:
        return "-"
    return "<$0.01" if dollars < 0.01 else f"${dollars:.2f}"


def clock(seconds: float | None) -> str:
    """Return a duration as text, such as ``00:33`` or ``1:02:03``."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
