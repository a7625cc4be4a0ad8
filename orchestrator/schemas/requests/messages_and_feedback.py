"""Requests that send messages and feedback to workers."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.core.model.human_input.feedback import Comment, FeedbackRequest, Side
from orchestrator.core.model.human_input.messages import MOST_CHARACTERS, MOST_MESSAGES
from orchestrator.schemas.fields.bounded_types import (
    COMMIT_PATTERN,
    TEXT_PATTERN,
    RequestText,
    StrictModel,
    Text,
    Word,
)

MessageId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class MessageBody(StrictModel):
    """A message to a worker that has not ended."""

    text: Annotated[Text, Field(min_length=1, max_length=MOST_CHARACTERS, pattern=TEXT_PATTERN)]
    """Text for the worker's agent; at most 10,000 characters."""


class MessagesReadBody(StrictModel):
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


class CommentBody(StrictModel):
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


class FeedbackBody(StrictModel):
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
