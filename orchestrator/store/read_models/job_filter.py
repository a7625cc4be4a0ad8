"""The conditions of a list of jobs."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, func, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from orchestrator.core.ports.listings import JobFilter
from orchestrator.store.schema import tables
from orchestrator.store.schema.tables import label_line, line_in

_jobs = tables.jobs.c


class PlaceIn(FunctionElement[int]):
    """The position of a text in another text, from 1; 0 if the text is missing.

    Case matters, unlike in LIKE.
    """

    type = Integer()
    name = "place_in"
    inherit_cache = True


@compiles(PlaceIn, "sqlite")
def _in_sqlite(element: PlaceIn, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(PlaceIn, "postgresql")
def _in_postgresql(element: PlaceIn, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def job_conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    """Return the conditions, all of which must hold."""
    equal = (
        (_jobs.parent_job_id, wanted.parent),
        (_jobs.root_id, wanted.root),
        (_jobs.depth, wanted.depth),
    )
    found: list[ColumnElement[bool]] = [
        column == value for column, value in equal if value is not None
    ]
    return [*found, *_of_lists(wanted)]


def _of_lists(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.statuses:
        yield _jobs.status.in_(list(wanted.statuses))
    if wanted.submitted_by is not None:
        yield submitted_by(wanted.submitted_by)
    if wanted.since is not None:
        yield _jobs.created_at >= wanted.since
    if wanted.ids is not None:
        yield _jobs.id.in_(list(wanted.ids))
    for name, value in wanted.labels:
        yield has_text(_jobs.labels, line_in(label_line(name, value)))
    if wanted.text:
        columns = (_jobs.request, _jobs.id)
        yield or_(*(has_text(lowered(each), lowered(wanted.text)) for each in columns))


def submitted_by(name: str) -> ColumnElement[bool]:
    """Return the condition that a caller submitted the root of a job."""
    return _jobs.root_id.in_(select(_jobs.id).where(_jobs.submitted_by == name))


def has_text(column: ColumnElement[Any], text: ColumnElement[Any] | str) -> ColumnElement[bool]:
    given = _text(text) if isinstance(text, str) else text
    return PlaceIn(column, given).op(">", return_type=Boolean())(0)


def lowered(text: ColumnElement[Any] | str) -> ColumnElement[Any]:
    """Return a text in lower case, as the database has it."""
    given = _text(text) if isinstance(text, str) else text
    return func.lower(given, type_=_jobs.request.type)


def _text(text: str) -> ColumnElement[Any]:
    return literal(text, _jobs.request.type)
