"""The loop of ``top``: reads keys and snapshots, and draws frames."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.api.client import OrchestratorClient
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.follow.top.frame import HELP, Frame, Pane
from orchestrator.cli.follow.top.screen import Screen
from orchestrator.cli.follow.top.screen_model import JobLine, Snapshot, WorkerLine
from orchestrator.cli.follow.top.snapshots import AnySource
from orchestrator.cli.follow.top.visible_rows import Row, View
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.style import Style
from orchestrator.core.errors import OrchestratorError

#: Seconds between two refreshes.
REFRESH_SECONDS = 1.0
#: Seconds for which the outcome of an action is shown.
NOTICE_SECONDS = 8.0
#: Number of rows of a page (keys page up and page down), until the terminal's height is known.
PAGE = 10

#: An action of the user on the server; returns its outcome as text.
Action = Callable[[OrchestratorClient], str]


class Refresher:
    """Reads snapshots and runs actions in a thread, so that the screen reacts to keys at once."""

    def __init__(self, source: AnySource, job_id: str, wake: Callable[[], None]) -> None:
        self.job_id = job_id
        self._source = source
        self._wake = wake
        #: Actions to run; None: end the thread.
        self._actions: queue.Queue[Callable[[], str] | None] = queue.Queue()
        self._lock = threading.Lock()
        #: The data that the next snapshots contain: the arguments of ``set_view``.
        self._view: tuple[Mapping[str, bool], Sequence[tuple[str, str]]] = ({}, ())
        #: Messages of actions that ``latest`` has not returned yet.
        self._messages: list[str] = []
        self._snapshot = Snapshot()
        self._log: tuple[tuple[str, str], Sequence[str]] = (("", ""), ())
        #: The job and the worker whose log is shown; empty: none.
        self.followed = ("", "")
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    # Implementation of ``snapshots.SnapshotQuery``, for ``source``

    def is_open(self, job: JobLine) -> bool:
        with self._lock:
            return self._view[0].get(job.job_id, not job.has_ended)

    def visible(self) -> Sequence[tuple[str, str]]:
        with self._lock:
            return self._view[1]

    # Calls of the loop

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._actions.put(None)

    def set_view(self, opened: Mapping[str, bool], visible: Sequence[tuple[str, str]]) -> None:
        """Set the data that the next snapshots contain.

        ``opened``: see ``View.opened``. ``visible``: (job id, worker id) of each visible row.
        """
        with self._lock:
            self._view = (dict(opened), tuple(visible))

    def refresh_now(self) -> None:
        self._actions.put(lambda: "")

    def run_action(self, action: Callable[[], str]) -> None:
        """Run ``action`` in the thread. If it returns a message, ``latest`` returns the message."""
        self._actions.put(action)

    def latest(self) -> tuple[Snapshot, tuple[tuple[str, str], Sequence[str]], list[str]]:
        """Return the latest snapshot, the latest log, and the messages of finished actions.

        The log is ((job id, worker id), lines). A message is returned only once.
        """
        with self._lock:
            messages, self._messages = self._messages, []
            return self._snapshot, self._log, messages

    def read(self) -> Snapshot:
        """Read a snapshot now. After an error, return the previous snapshot with the error."""
        try:
            return self._source.read(self)
        except OrchestratorError as error:
            with self._lock:
                return replace(self._snapshot, at=time.time(), problem=error.message)

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            snapshot, followed = self.read(), self.followed
            log = (followed, self._source.log(*followed) if followed[1] else ())
            with self._lock:
                self._snapshot, self._log = snapshot, log
            self._wake()
            if not self._run_next_action(REFRESH_SECONDS - (time.monotonic() - began)):
                self._source.close()
                return

    def _run_next_action(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for an action, and run it. Return False at the program's end."""
        try:
            action = self._actions.get(timeout=max(0.05, seconds))
        except queue.Empty:
            return True
        if action is None:
            return False
        try:
            message = action()
        except OrchestratorError as error:
            message = f"error: {error.message}"
        with self._lock:
            self._messages += [message] if message else []
        return True


class TopProgram:
    """The program ``top``: the screen, and the reactions to keys. ``run`` may be called once."""

    def __init__(self, context: CliContext, source: AnySource, job_id: str) -> None:
        self._context = context
        self._source = source
        self._screen = Screen()
        self._refresher = Refresher(source, job_id, self._screen.wake)
        self._frame = Frame(snapshot=Snapshot(), view=View())
        #: Monotonic time at which the latest notice was shown, in seconds.
        self._noticed_at = 0.0
        #: The text that the user types after ``_question``; None: the user types no text.
        self._typed: str | None = None
        #: Called with the typed text when the user presses the key enter.
        self._on_enter: Callable[[str], None] = lambda text: None
        self._question = ""
        #: The action that runs if the user confirms it with the key y; None: no question.
        self._unconfirmed: Callable[[], None] | None = None
        self._is_ending = False
        self._page = PAGE

    def run(self, style: Style, *, is_unicode: bool) -> int:
        """Show the screen until the user quits, or a signal ends the program.

        Return the number of the signal; 0 if the user quit.
        """
        self._frame.style, self._frame.is_unicode = style, is_unicode
        with self._screen:
            self._refresher.start()
            while not (self._is_ending or self._screen.ended_by):
                self._update()
                self._screen.draw(self._lines)
                for key in self._screen.keys(REFRESH_SECONDS):
                    self._press(key)
            self._refresher.stop()
        return self._screen.ended_by

    def _lines(self, width: int, height: int) -> Sequence[str]:
        self._page = max(1, height - 4)
        return self._frame.lines(width, height)

    def _update(self) -> None:
        frame, view = self._frame, self._frame.view
        snapshot, (followed, log), messages = self._refresher.latest()
        if snapshot is not frame.snapshot:
            frame.snapshot = snapshot
            view.show(snapshot)
        if frame.pane and followed == self._refresher.followed and followed[1]:
            frame.pane.lines = log
        if messages:
            self._notify(messages[-1])
        elif time.monotonic() - self._noticed_at > NOTICE_SECONDS:
            frame.notice = ""
        rows = view.rows[view.top : view.top + self._page]
        self._refresher.set_view(view.opened, [row.key for row in rows])
        frame.prompt = self._question if self._typed is None else f"{self._question}{self._typed}_"

    def _notify(self, text: str) -> None:
        self._frame.notice, self._noticed_at = text, time.monotonic()

    # Keys

    def _press(self, key: str) -> None:
        if self._typed is not None:
            self._type(key)
        elif self._unconfirmed is not None:
            action, self._unconfirmed, self._question = self._unconfirmed, None, ""
            if key in ("y", "Y"):
                action()
        else:
            self._command(key)

    def _type(self, key: str) -> None:
        assert self._typed is not None
        if key in ("escape", "interrupt"):
            self._typed, self._question = None, ""
        elif key == "enter":
            text, self._typed, self._question = self._typed, None, ""
            self._on_enter(text)
        elif key == "backspace":
            self._typed = self._typed[:-1]
        elif len(key) == 1 and key.isprintable():
            self._typed += key

    def _command(self, key: str) -> None:
        actions: Mapping[str, Callable[[], None]] = {
            "q": self._quit,
            "interrupt": self._quit,
            "suspend": self._screen.suspend,
            "redraw": self._screen.redraw,
            "escape": self._escape,
            "enter": self._log,
            "right": lambda: self._open(True),
            "left": lambda: self._open(False),
            " ": lambda: self._open(None),
            "d": self._diff,
            "a": self._approve,
            "r": self._retry,
            "x": self._cancel,
            "m": self._message,
            "p": self._pause,
            "o": self._sort,
            "t": self._tree,
            "/": self._search,
            "?": self._help,
        }
        moves = {
            "up": -1,
            "k": -1,
            "down": 1,
            "j": 1,
            "pageup": -self._page,
            "pagedown": self._page,
            "home": -(10**9),
            "g": -(10**9),
            "end": 10**9,
            "G": 10**9,
        }
        if key in moves:
            self._move(moves[key])
        elif key in actions:
            actions[key]()

    def _move(self, by: int) -> None:
        pane = self._frame.pane
        if pane is not None and pane.is_whole:
            most = max(0, len(pane.lines) - self._page)
            pane.lines_below = min(max(0, pane.lines_below - by), most)
        else:
            self._frame.view.move(by)
            if pane is not None:
                self._follow(self._frame.view.row)

    def _quit(self) -> None:
        if self._frame.pane is not None and self._frame.pane.is_whole:
            self._frame.pane = None
        else:
            self._is_ending = True

    def _escape(self) -> None:
        if self._frame.pane is not None:
            self._frame.pane, self._refresher.followed = None, ("", "")
        elif self._frame.view.text:
            self._find("")

    def _open(self, becomes_open: bool | None) -> None:
        view, row = self._frame.view, self._frame.view.row
        if row is not None:
            is_open = view.is_open(row.job)
            view.opened[row.job.job_id] = not is_open if becomes_open is None else becomes_open
            if becomes_open is not True:
                view.selected = (row.job.job_id, "")
            view.show(self._frame.snapshot)
            self._refresher.set_view(view.opened, [])
            self._refresher.refresh_now()

    def _log(self) -> None:
        row = self._frame.view.row
        if self._frame.pane is not None:
            self._frame.pane, self._refresher.followed = None, ("", "")
        elif row is not None and row.worker is None:
            self._open(None)
        else:
            self._follow(row)

    def _follow(self, row: Row | None) -> None:
        if row is not None and row.worker is not None:
            self._frame.pane = Pane(f"log of {row.worker.worker_id}, job {row.worker.job_id}")
            self._refresher.followed = (row.worker.job_id, row.worker.worker_id)
            self._refresher.refresh_now()

    def _sort(self) -> None:
        view = self._frame.view
        view.order = view.order.following
        view.show(self._frame.snapshot)
        self._notify(f"order: {view.order.value}")

    def _tree(self) -> None:
        view = self._frame.view
        view.as_tree = not view.as_tree
        view.show(self._frame.snapshot)

    def _search(self) -> None:
        self._ask_text("search: ", self._find)

    def _find(self, text: str) -> None:
        self._frame.view.text = text
        self._frame.view.show(self._frame.snapshot)

    def _help(self) -> None:
        self._frame.pane = Pane("keys", list(HELP), is_whole=True)
        self._refresher.followed = ("", "")

    # Actions

    def _ask_text(self, question: str, on_enter: Callable[[str], None]) -> None:
        self._question, self._typed, self._on_enter = question, "", on_enter

    def _confirm(self, question: str, action: Action) -> None:
        self._question = f"{question} y/n"
        self._unconfirmed = lambda: self._act(action)

    def _act(self, action: Action) -> None:
        def run() -> str:
            client = self._source.client
            if client is None:
                return f"read-only: no server runs; start one: {COMMAND} serve"
            return action(client)

        self._refresher.run_action(run)

    def _job(self) -> JobLine | None:
        row = self._frame.view.row
        return row.job if row else None

    def _approve(self) -> None:
        if job := self._job():
            job_id = job.job_id
            if not job.awaits_approval:
                self._notify(f"job {job_id} does not wait for approval")
                return
            self._confirm(
                f"Approve the plan of job {job_id}?",
                lambda c: f"job {job_id}: approved, {c.approve(job_id)['status']}",
            )

    def _retry(self) -> None:
        row = self._frame.view.row
        if row is not None and row.worker is not None:
            worker = row.worker
            self._confirm(f"Retry {worker.worker_id}?", lambda c: _retry_worker(c, worker))
        elif row is not None:
            job_id = row.job.job_id
            question = f"Retry the unsuccessful tasks of job {job_id}?"
            self._confirm(
                question, lambda client: f"job {job_id}: {client.retry(job_id)['status']}"
            )

    def _cancel(self) -> None:
        row = self._frame.view.row
        if row is not None and row.worker is not None:
            worker = row.worker
            self._confirm(f"Cancel {worker.worker_id}?", lambda c: _cancel_worker(c, worker))
        elif row is not None:
            job_id = row.job.job_id
            self._confirm(
                f"Cancel job {job_id}?",
                lambda client: f"job {job_id}: {client.cancel(job_id)['status']}",
            )

    def _pause(self) -> None:
        if job := self._job():
            self._act(lambda client: _pause_or_resume(client, job))

    def _message(self) -> None:
        row = self._frame.view.row
        if row is None or row.worker is None:
            self._notify("select a worker first")
            return
        job_id, worker_id = row.worker.job_id, row.worker.worker_id

        def send(text: str) -> None:
            if text.strip():
                self._act(lambda client: _send_message(client, job_id, worker_id, text))

        self._ask_text(f"message to {worker_id}: ", send)

    def _diff(self) -> None:
        row = self._frame.view.row
        if row is None:
            return
        worker_id = row.worker.worker_id if row.worker else ""
        pane = Pane(f"changes of {worker_id or f'job {row.job.job_id}'}", is_whole=True)
        self._frame.pane, self._refresher.followed = pane, ("", "")

        def read() -> str:
            pane.lines = changes(self._context, row.job.job_id, worker_id).splitlines()
            pane.lines_below = max(0, len(pane.lines) - self._page)
            return "" if pane.lines else "no changes"

        self._refresher.run_action(read)


def changes(context: CliContext, job_id: str, worker_id: str) -> str:
    """Return the patch of a worker's changes; if ``worker_id`` is "", of the job's changes."""
    from orchestrator.composition import landing, worker_difference

    context.work_on_project_of(job_id)
    folder, environ = context.folder, context.environ
    if worker_id:
        patch = worker_difference(folder, environ, job_id, worker_id, stat=False)
    else:
        patch = landing(folder, environ, job_id, job_id).diff(stat=False)
    return patch.decode("utf-8", "replace")


def _retry_worker(client: OrchestratorClient, worker: WorkerLine) -> str:
    client.retry_worker(worker.job_id, worker.worker_id)
    return f"{worker.worker_id}: retrying"


def _cancel_worker(client: OrchestratorClient, worker: WorkerLine) -> str:
    client.cancel_worker(worker.job_id, worker.worker_id)
    return f"{worker.worker_id}: stopping"


def _pause_or_resume(client: OrchestratorClient, job: JobLine) -> str:
    if job.is_paused:
        client.resume(job.job_id)
        return f"job {job.job_id} resumed"
    client.pause(job.job_id)
    return f"job {job.job_id} paused: running workers finish, and nothing new starts"


def _send_message(client: OrchestratorClient, job_id: str, worker_id: str, text: str) -> str:
    client.message(job_id, worker_id, text)
    return f"message sent to {worker_id}; its agent reads the message before the next step"
