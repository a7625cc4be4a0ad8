"""Selects and orders the rows of the screen, and tracks the selected row."""

from collections.abc import Iterator, Sequence
from dataclasses import field
from enum import Enum

from orchestrator.cli.follow.top.screen_model import ATTENTION, JobLine, Snapshot, WorkerLine
from orchestrator.core.lazy_dataclass import dataclass

#: Sort key of an unknown status, which comes after all known statuses.
_LAST = len(ATTENTION)


class Order(Enum):
    ATTENTION = "attention"
    INDEX = "index"
    TIME = "time"
    COST = "cost"

    @property
    def following(self) -> "Order":
        every = list(Order)
        return every[(every.index(self) + 1) % len(every)]


@dataclass(frozen=True, slots=True)
class Row:
    job: JobLine
    worker: WorkerLine | None = None
    #: Level in the tree: the number of the row's ancestors.
    indent: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.job.job_id, self.worker.worker_id if self.worker else ""


@dataclass(slots=True)
class View:
    """The user's view of a snapshot: the rows, with their order, filter, and selection."""

    order: Order = Order.ATTENTION
    as_tree: bool = False
    #: Text of the search; empty: all rows are shown.
    text: str = ""
    #: True for a job that the user has opened, False for a job that the user has closed. A job
    #: without an entry is open until it ends.
    opened: dict[str, bool] = field(default_factory=dict)
    selected: tuple[str, str] = ("", "")
    #: Time of the snapshot, for the order by time.
    now: float = 0.0
    #: Index of the first row in the window.
    top: int = 0
    rows: Sequence[Row] = ()
    #: Index of each row, by the row's key.
    _indexes: dict[tuple[str, str], int] = field(default_factory=dict)

    def is_open(self, job: JobLine) -> bool:
        return self.opened.get(job.job_id, not job.has_ended)

    def show(self, snapshot: Snapshot) -> None:
        """Update the rows from a snapshot. The selected row stays selected if it still exists."""
        old_index, self.now = self.index, snapshot.at
        self.rows = list(self._rows(snapshot))
        self._indexes = {row.key: index for index, row in enumerate(self.rows)}
        if self.rows and self._selected_index() is None:
            self.selected = self.rows[min(old_index, len(self.rows) - 1)].key

    def _rows(self, snapshot: Snapshot) -> Iterator[Row]:
        for job in snapshot.jobs:
            workers = job.workers or ()
            job_matches = self.text.lower() in f"{job.job_id} {job.request} {job.status}".lower()
            if not job_matches:
                workers = [each for each in workers if self._matches_search(each)]
                if not workers:
                    continue
            yield Row(job)
            if self.is_open(job):
                yield from self._worker_rows(job, workers)

    def _matches_search(self, worker: WorkerLine) -> bool:
        text = f"{worker.worker_id} {worker.title} {worker.agent} {worker.status} {worker.reason}"
        return self.text.lower() in text.lower()

    def _worker_rows(self, job: JobLine, workers: Sequence[WorkerLine]) -> Iterator[Row]:
        ordered = sorted(workers, key=self._order_key) if self.order is not Order.INDEX else workers
        if not self.as_tree:
            yield from (Row(job, each, 1) for each in ordered)
            return
        children: dict[str, list[WorkerLine]] = {}
        ids = {each.worker_id for each in workers}
        for each in ordered:
            children.setdefault(each.parent_id if each.parent_id in ids else "", []).append(each)
        stack = [(each, 1) for each in reversed(children.get("", ()))]
        while stack:
            worker, indent = stack.pop()
            yield Row(job, worker, indent)
            stack += [(each, indent + 1) for each in reversed(children.get(worker.worker_id, ()))]

    def _order_key(self, worker: WorkerLine) -> tuple[float, ...]:
        match self.order:
            case Order.TIME:
                return (-(worker.seconds(self.now) or 0.0),)
            case Order.COST:
                return (-(worker.cost_usd or 0.0), -(worker.tokens or 0))
            case _:
                return (ATTENTION.get(worker.status, _LAST),)

    # The selected row

    def _selected_index(self) -> int | None:
        return self._indexes.get(self.selected)

    @property
    def index(self) -> int:
        return self._selected_index() or 0

    @property
    def row(self) -> Row | None:
        return self.rows[self.index] if self.rows else None

    def move(self, by: int) -> None:
        if self.rows:
            index = min(max(0, self.index + by), len(self.rows) - 1)
            self.selected = self.rows[index].key

    def window(self, height: int) -> Sequence[Row]:
        """Return the visible rows: at most ``height`` rows, which include the selected row."""
        index = self.index
        self.top = min(self.top, index)
        self.top = max(self.top, index - height + 1, 0)
        self.top = min(self.top, max(0, len(self.rows) - height))
        return self.rows[self.top : self.top + height]
