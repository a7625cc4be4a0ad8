"""Requests with the input of people to jobs and workers: messages, feedback, decisions."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.core.model.human_input import (
    MOST_CHARACTERS,
    MOST_MESSAGES,
    Comment,
    FeedbackRequest,
    Side,
)
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import BY_WIRE_NAME, RAISABLE
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.schemas.fields.bounded_types import (
    COMMIT_PATTERN,
    TEXT_PATTERN,
    Count,
    RequestText,
    Text,
    Wire,
    Word,
)
from orchestrator.schemas.requests.job import TaskRequest, check_tasks_fit, task_ids, type_of

MessageId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class MessageBody(Wire):
    """A message to a worker that has not ended."""

    text: Annotated[Text, Field(min_length=1, max_length=MOST_CHARACTERS, pattern=TEXT_PATTERN)]
    """Text for the worker's agent, as data: at most 10,000 characters."""


class MessagesReadBody(Wire):
    """Messages that the calling worker's agent has read."""

    delivered: Annotated[
        tuple[MessageId, ...], Field(strict=False, min_length=1, max_length=MOST_MESSAGES)
    ]
    """Ids of the messages."""


MOST_COMMENTS = 200
LONGEST_COMMENT = 10_000
#: Maximum characters of all comments together, because the next attempt's prompt has them all.
MOST_COMMENT_CHARACTERS = 100_000

Line = Annotated[int, Field(ge=1, le=10_000_000)]
CommentText = Annotated[RequestText, StringConstraints(max_length=LONGEST_COMMENT)]


class CommentBody(Wire):
    """A comment on lines of one file."""

    path: Annotated[Text, Field(min_length=1, max_length=4096)]
    """Path in the project, also of a file that the worker did not change."""
    side: Annotated[Side, Field(strict=False)] = Side.NEW
    """new: the worker's change; old: the commit from which the worker started."""
    line: Line
    """First line, from 1."""
    end_line: Line | None = None
    """Last line (default: the first)."""
    text: CommentText
    """What the worker should change."""

    @model_validator(mode="after")
    def lines_are_in_order(self) -> "CommentBody":
        if self.end_line is not None and self.end_line < self.line:
            raise ValueError(
                f"end_line {self.end_line} is before line {self.line}; write the lines in order"
            )
        return self

    def to_comment(self) -> Comment:
        last = self.end_line or self.line
        return Comment(
            path=self.path, side=self.side, line=self.line, end_line=last, text=self.text
        )


CommentBodies = Annotated[tuple[CommentBody, ...], Field(strict=False, max_length=MOST_COMMENTS)]
FeedbackText = Annotated[Text, Field(max_length=LONGEST_COMMENT)]
CommitName = Annotated[str, StringConstraints(pattern=COMMIT_PATTERN)]


class FeedbackBody(Wire):
    """Comments on a worker's change, for one more attempt on its branch."""

    comments: CommentBodies = ()
    """Comments on lines; at least one, or a summary."""
    summary: FeedbackText = ""
    """Comment on the whole change."""
    commit: CommitName
    """Commit that the comments refer to: the head of the worker's branch; at least the first 7
    digits.
    """
    agent: Word | None = None
    """Agent of the next attempt (default: the worker's agent)."""

    @model_validator(mode="after")
    def has_content(self) -> "FeedbackBody":
        if not self.comments and not self.summary.strip():
            raise ValueError("needs comments or a summary; add at least one of them")
        length = sum(len(each.text) for each in self.comments)
        if length > MOST_COMMENT_CHARACTERS:
            detail = (
                f"the comments have {length:,} characters together, and at most "
                f"{MOST_COMMENT_CHARACTERS:,} are allowed; shorten them"
            )
            raise PydanticCustomError("too_large", "{detail}", {"detail": detail})
        return self

    def to_request(self, key: str | None) -> FeedbackRequest:
        return FeedbackRequest(
            comments=tuple(each.to_comment() for each in self.comments),
            summary=self.summary,
            commit=self.commit,
            agent=self.agent or "",
            key=key or "",
        )


class PauseRequest(Wire):
    """Request to pause a job or all jobs."""

    running: Literal["finish", "stop"] = "finish"
    """Running attempts: finish (continue to their end) or stop (run again after the pause; uses no
    retry)."""


class AnswerRequest(Wire):
    """A person's decision on a plan or on a question."""

    comment: Annotated[Text, Field(max_length=10_000)] = ""
    """Text for the tasks that depend on the question, and for the report."""


if TYPE_CHECKING:
    _RaisedLimits = Wire
else:
    _RaisedLimits = create_model(
        "_RaisedLimits",
        __base__=Wire,
        **{name: (type_of(BY_WIRE_NAME[name]) | None, None) for name in RAISABLE},
    )


class RaisedLimits(_RaisedLimits):
    """New limits of a running job: one field for each name of ``RAISABLE``.

    The fields have no descriptions.
    """

    def to_limits(self) -> ConfigRequest:
        return ConfigRequest(**{name: getattr(self, name) for name in RAISABLE})


class BudgetRequest(RaisedLimits):
    """Request to raise caps or the wall time of a job; contains at least one of the fields."""

    @classmethod
    def description_of(cls, name: str) -> str:
        if name == "max_steps":
            # The description in the table of settings is longer, because it explains a step.
            return "Step cap of the job and its child jobs."
        return BY_WIRE_NAME[name].description


class PlanRequest(Wire):
    """A new plan for a job that waits for approval."""

    tasks: Annotated[tuple[TaskRequest, ...], Field(strict=False, min_length=1)]
    """The tasks; a task without env keeps the env of the present task with its id."""
    version: Count
    """Version of the plan that was edited, from GET plan."""

    @field_validator("tasks")
    @classmethod
    def tasks_fit_together(cls, tasks: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
        return check_tasks_fit(tasks)

    def to_tasks(self) -> tuple[TaskSpec, ...]:
        ids = task_ids(self.tasks)
        return tuple(task.to_task(id) for id, task in zip(ids, self.tasks, strict=True))

    @property
    def keeps_env(self) -> frozenset[str]:
        """Ids of the tasks that do not set env, and therefore keep the previous plan's env."""
        pairs = zip(task_ids(self.tasks), self.tasks, strict=True)
        return frozenset(id for id, task in pairs if "env" not in task.model_fields_set)
