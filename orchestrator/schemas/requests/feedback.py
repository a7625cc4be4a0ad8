"""Requests of a person about one worker: comments on its change, or a retry."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from orchestrator.core.model.decisions.feedback import Comment, FeedbackRequest, Side
from orchestrator.schemas.fields.text import COMMIT_PATTERN, RequestText, Text, Wire, Word

MOST_COMMENTS = 200
LONGEST_COMMENT = 10_000
#: Of all comments together: the prompt of the next attempt contains them.
MOST_CHARACTERS = 100_000

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
    """What should be different."""

    @model_validator(mode="after")
    def lines_are_in_order(self) -> "CommentBody":
        if self.end_line is not None and self.end_line < self.line:
            raise ValueError(f"end_line {self.end_line} is before line {self.line}")
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
    """Commit that the comments are on: the head of the worker's branch, or at least the first 7
    digits of its name."""
    agent: Word | None = None
    """Agent of the next attempt (default: the worker's)."""

    @model_validator(mode="after")
    def says_something(self) -> "FeedbackBody":
        if not self.comments and not self.summary.strip():
            raise ValueError("needs comments or a summary")
        if sum(len(each.text) for each in self.comments) > MOST_CHARACTERS:
            raise ValueError(f"all comments together may have {MOST_CHARACTERS} characters")
        return self

    def to_request(self, key: str | None) -> FeedbackRequest:
        return FeedbackRequest(
            comments=tuple(each.to_comment() for each in self.comments),
            summary=self.summary,
            commit=self.commit,
            agent=self.agent or "",
            key=key or "",
        )
