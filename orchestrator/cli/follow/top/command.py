"""``orchestrator top``: a live screen of all jobs and workers."""

import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import field

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import optional_job_argument
from orchestrator.cli.follow.top.frame import LEAST_HEIGHT, ROWS_AROUND, Frame
from orchestrator.cli.follow.top.screen_model import JobLine
from orchestrator.cli.follow.top.snapshots import AnySource
from orchestrator.cli.follow.top.visible_rows import View
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.style import style_of
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.lazy_dataclass import dataclass

#: Lines of a frame without a terminal.
MOST_LINES = 500


@click.command("top")
@optional_job_argument
@click.option("--once", is_flag=True, help="Print one frame and exit. Needs no terminal.")
@pass_cli_context
def top_command(context: CliContext, job_id: str | None, once: bool) -> int:
    """Show all jobs and workers, or JOB and its workers, live.

    Press ? for the keys. Without a running server, shows jobs from their files, and cannot change
    jobs.
    """
    source = AnySource(context)
    job_id = job_id or ""
    if once:
        return _print_once(context, source, job_id)
    can_draw = context.environ.get("TERM", "dumb") != "dumb"
    if not (can_draw and sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest(f"top needs a terminal; print one frame with: {COMMAND} top --once")
    from orchestrator.cli.follow.top.main_loop import TopProgram

    context.notes_silence = False
    style = style_of(context.environ, sys.stdout)
    ended_by = TopProgram(context, source, job_id).run(style, is_unicode=_is_unicode())
    return 128 + ended_by if ended_by not in (0, signal.SIGINT) else ExitCode.OK


def _is_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


@dataclass
class _OneFrame:
    """Selects the data that ``top --once`` shows. Implements ``snapshots.SnapshotQuery``."""

    job_id: str
    view: View = field(default_factory=View)

    def is_open(self, job: JobLine) -> bool:
        return self.view.is_open(job)

    def visible(self) -> Sequence[tuple[str, str]]:
        return [row.key for row in self.view.rows[:MOST_LINES]]


def _print_once(context: CliContext, source: AnySource, job_id: str) -> int:
    query = _OneFrame(job_id)
    if job_id:
        query.view.opened[job_id] = True
    query.view.show(source.read(query))
    # Read a second time: a snapshot has last lines of visible workers only, and the first snapshot
    # shows which workers are visible.
    snapshot = source.read(query)
    query.view.show(snapshot)
    query.view.selected = ("", "")
    source.close()
    width, height = shutil.get_terminal_size()
    if not sys.stdout.isatty():
        height = min(MOST_LINES, len(query.view.rows) + ROWS_AROUND)
    style = style_of(context.environ, sys.stdout)
    frame = Frame(snapshot=snapshot, view=query.view, style=style, is_unicode=_is_unicode())
    # Omit the last line of the frame, which lists the keys.
    for line in frame.lines(width, max(height, LEAST_HEIGHT))[:-1]:
        click.echo(line)
    return ExitCode.OK
