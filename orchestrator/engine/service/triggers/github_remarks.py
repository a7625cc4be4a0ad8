"""Reads an event of GitHub about a job's pull request, such as a comment or a failed check."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import cut
from orchestrator.core.text.json_values import dig, mapping, text
from orchestrator.engine.service.triggers.job_template import clean

#: GitHub's "author associations" whose comments a worker gets. Other comments are ignored, because
#: anyone can comment on a public repository.
TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
FAILURES = frozenset({"failure", "timed_out", "action_required", "startup_failure"})
MOST_CHARACTERS = 4_000
#: Maximum number of lines to show from the hunk of a comment.
HUNK_LINES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    #: Branch of the pull request, and the commit to which the remark refers.
    branch: str
    commit: str
    text: str
    #: The file; "" for a remark on the whole change.
    path: str = ""
    #: First line of the remark; 0 for a remark on the whole change or on a whole file.
    line: int = 0
    end_line: int = 0
    is_old: bool = False
    #: The last lines of the hunk of a comment.
    hunk: str = ""

    def as_text(self) -> str:
        """Return the remark as text. For a comment on code, also show path, lines, and code."""
        if not self.path:
            return self.text
        if not self.line:
            return f"{self.path} (commit {self.commit[:12]})\n{self.text}"
        lines = f"{self.line}" if self.end_line == self.line else f"{self.line}-{self.end_line}"
        return f"{self.path}:{lines} (commit {self.commit[:12]})\n{self.hunk}\n{self.text}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def remark_of(kind: str, event: object) -> Remark | str:
    """Return the comment or failed check of an event.

    For any other event, return the reason to ignore the event, as text.
    """
    action = text(event, "action")
    if kind == "pull_request_review" and action == "submitted":
        return _review(event)
    if kind == "pull_request_review_comment" and action == "created":
        return _line_comment(event)
    if kind in ("check_run", "workflow_run") and action == "completed":
        return _check(mapping(event, kind))
    return f"{kind} {action} is not a review, comment, or completed check"


def _review(event: object) -> Remark | str:
    review = mapping(event, "review")
    state, body = text(review, "state").lower(), _body(review)
    if state not in ("changes_requested", "commented"):
        return f"a review with the state {state} requests no change"
    if not body:
        return "the review has no text; each of its comments is a separate event"
    if reason := _reason_for_distrust(review):
        return reason
    sentence = "requests changes" if state == "changes_requested" else "comments"
    branch, commit = _branch_and_commit(event, text(review, "commit_id"))
    return Remark(branch=branch, commit=commit, text=f"{_author(review)} {sentence}:\n{body}")


def _line_comment(event: object) -> Remark | str:
    comment = mapping(event, "comment")
    body = _body(comment)
    if reason := _reason_for_distrust(comment):
        return reason
    is_on_file = text(comment, "subject_type") == "file"
    end = None if is_on_file else dig(comment, "line") or dig(comment, "original_line")
    first = dig(comment, "start_line") or end
    code: dict[str, Any] = {"path": cut(clean(text(comment, "path")), MOST_CHARACTERS)}
    if isinstance(end, int) and isinstance(first, int) and 0 < first <= end:
        hunk = text(comment, "diff_hunk").splitlines()[-HUNK_LINES:]
        code |= {
            "line": first,
            "end_line": end,
            "is_old": text(comment, "side") == "LEFT",
            "hunk": cut(clean("\n".join(hunk)), MOST_CHARACTERS),
        }
    branch, commit = _branch_and_commit(event, text(comment, "commit_id"))
    return Remark(branch=branch, commit=commit, **code, text=f"{_author(comment)}:\n{body}")


def _check(run: Mapping[str, Any]) -> Remark | str:
    name, conclusion = clean(text(run, "name")), text(run, "conclusion")
    if conclusion not in FAILURES:
        return f"the check {name[:100]} ended with {conclusion}"
    branch = text(run, "head_branch") or text(run, "check_suite", "head_branch")
    output = mapping(run, "output")
    parts = [text(output, each) for each in ("title", "summary", "text")]
    address = text(run, "details_url") or text(run, "html_url")
    lines = [f"The check {name} failed ({conclusion}): {address}", *filter(None, parts)]
    return Remark(
        branch=branch,
        commit=text(run, "head_sha"),
        text=cut(clean("\n".join(lines)), MOST_CHARACTERS),
    )


def _branch_and_commit(event: object, commit: str) -> tuple[str, str]:
    head = mapping(event, "pull_request", "head")
    return text(head, "ref"), commit or text(head, "sha")


def _body(message: Mapping[str, Any]) -> str:
    return cut(clean(text(message, "body")).strip(), MOST_CHARACTERS)


def _author(message: Mapping[str, Any]) -> str:
    return f"@{clean(text(message, 'user', 'login'))[:50]}"


def _reason_for_distrust(message: Mapping[str, Any]) -> str:
    association = text(message, "author_association")
    if association in TRUSTED:
        return ""
    role = association.lower() or "unknown"
    return f'the author has the role "{role}", but must be owner, member, or collaborator'
