"""Squashes a job's changes into one commit, and finds results whose commits were rewritten."""

from collections.abc import Iterator, Sequence

from orchestrator.core.repository.git_refs import landed_refs
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.formatting import cut
from orchestrator.git.command.ref_files import is_in_users_refs, listed_refs
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit_creation import commit_tree, tree_of
from orchestrator.git.landing.authorship import coauthor

#: Maximum length of a subject that tools show without a line break.
_MOST_SUBJECT = 72


def squash(git: Git, tree: str, before: str, message: str, signature: Signature) -> str:
    """Return a commit on top of ``before`` with the content of ``tree``."""
    return commit_tree(git, tree_of(git, tree), [before], message, signature)


def message(git: Git, job_id: str, title: str, span: Sequence[str], user: Signature) -> str:
    """Return the message of the squashed commit.

    The message has the first line of the request (``title``), the subjects of the commits that
    ``span`` selects, and their trailers. Each trailer occurs once. Each author except ``user`` gets
    a trailer ``Co-authored-by``.
    """
    subject = subject_of(title, job_id)
    subjects = _log_values(git, span, "%s", "--no-merges")
    listed = [f"- {each}" for each in subjects] if len(subjects) > 1 else []
    paragraphs = (subject, "\n".join(listed), "\n".join(_trailers(git, job_id, span, user)))
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def subject_of(title: str, job_id: str) -> str:
    """Return the first line of a request, shortened to the length of a commit's subject."""
    subject = title.strip().partition("\n")[0].rstrip(": ") or f"Result of job {job_id}"
    return cut(subject, _MOST_SUBJECT)


def _trailers(git: Git, job_id: str, span: Sequence[str], user: Signature) -> Iterator[str]:
    trailers = _log_values(git, span, "%(trailers:only,unfold)")
    authors = (each.split("\0") for each in _log_values(git, span, "%an%x00%ae", "--no-merges"))
    signatures = [Signature(name=name, email=email) for name, email in authors]
    with_authors = [coauthor(each) for each in signatures if each.email != user.email]
    lines = [f"Orchestrator-Job: {job_id}", *trailers, *filter(None, with_authors)]
    yield from dict.fromkeys(lines)


def _log_values(git: Git, span: Sequence[str], what: str, *options: str) -> list[str]:
    order = ("--reverse", "--topo-order", "--no-show-signature", "--no-color")
    log = git.run("log", *order, *options, f"--format={what}", *span, "--").text
    return list(dict.fromkeys(line for line in log.splitlines() if line.strip()))


def landed_at(git: Git, root_id: str, job_id: str, result: str) -> Iterator[str]:
    """Yield the commits with which ``result`` was landed, one for each branch.

    Landings that did not rewrite the commits of ``result`` are omitted.
    """
    notes = landed_refs(root_id, job_id)
    for name, landed in listed_refs(git, f"{notes}result/").items():
        after = git.ask("rev-parse", "-q", "--verify", name.replace("/result/", "/after/", 1))
        if after and landed == result:
            yield after


def rewritten_results(git: Git, head: str, result: str) -> Iterator[str]:
    """Yield the results of jobs in the history of ``result`` that were landed as rewritten commits.

    Only landings whose rewritten commits are in the history of ``head`` count.
    """
    notes = landed_refs("*", "*")
    for name, landed in listed_refs(git, f"--merged={result}", f"{notes}result/**").items():
        after = git.resolve(name.replace("/result/", "/after/", 1))
        if after and git.is_ancestor(after, head):
            yield landed


def is_landed(git: Git, root_id: str, job_id: str, result: str) -> bool:
    """True if ``result`` was landed as rewritten commits that are on a branch of the user."""
    commits = landed_at(git, root_id, job_id, result)
    return any(is_in_users_refs(git, commit, "refs/heads") for commit in commits)
