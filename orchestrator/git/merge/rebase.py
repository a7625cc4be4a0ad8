"""Replays commits as one line of history, with their authors and messages."""

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import Signature
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit_creation import commit_tree, tree_of
from orchestrator.git.merge.merge_tree import trial_merge

_FORMAT = "%T%x00%P%x00%an%x00%ae%x00%ad%x00%B"
#: Author of temporary commits, which only give git a common base of two sides.
_NOBODY = Signature(name="orchestrator", email="replay@orchestrator.invalid")


@dataclass(frozen=True, slots=True)
class _CommitFacts:
    commit: str
    tree: str
    parent: str
    author: Mapping[str, str]
    message: str


def first_parent_commits(git: Git, start: str, tip: str) -> list[str]:
    """Return the commits after ``start`` up to ``tip`` on the line of first parents.

    The oldest commit comes first. Merge commits are omitted.
    """
    options = ("--first-parent", "--no-merges", "--reverse", tip, f"^{start}")
    return git.run("rev-list", *options, "--").text.split()


def replay(
    git: Git, onto: str, commits: Sequence[str], final: str, message: str, signature: Signature
) -> str:
    """Replay ``commits`` on ``onto``. Return the last new commit, with the content of ``final``.

    A commit that conflicts is combined with the next commit. A commit that changes nothing is
    omitted. The last commit gets the whole content of ``final``. If ``commits`` is empty, one new
    commit with ``message`` has this content. If no new commit is needed, because ``onto`` already
    has the content of ``final``, return ``onto``.
    """
    tip, tree = onto, tree_of(git, onto)
    goal = tree_of(git, final)
    for place, commit in enumerate(commits):
        facts = _facts_of(git, commit)
        is_last = place == len(commits) - 1
        after = goal if is_last else _tree_on_top(git, tree, facts)
        if after and after != tree:
            tip, tree = _commit_with_author(git, after, tip, facts, signature), after
    return tip if tree == goal else commit_tree(git, goal, [tip], message, signature)


def _facts_of(git: Git, commit: str) -> _CommitFacts:
    output = git.run("show", "-s", "--date=raw", f"--format={_FORMAT}", commit, "--")
    tree, parents, name, email, date, message = output.text.split("\0", 5)
    author = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_AUTHOR_DATE": f"@{date}",
    }
    return _CommitFacts(commit, tree, parents.split(" ")[0], author, f"{message}\n")


def _tree_on_top(git: Git, tree: str, facts: _CommitFacts) -> str:
    """Return the id of a new tree: ``tree`` with the changes of a commit.

    Return "" if the changes conflict, or if the commit has no parent.

    ``merge-tree`` of git 2.39 has no option for the merge base. Therefore this function creates
    three temporary commits. The first is a merge base with the files of ``facts.parent``. Its two
    children have the files of ``tree`` and of ``facts.tree``.
    """
    if not facts.parent:
        return ""
    parent_tree = tree_of(git, facts.parent)
    if parent_tree == tree:
        return facts.tree
    common = commit_tree(git, parent_tree, [], "common", _NOBODY)
    ours, theirs = (
        commit_tree(git, each, [common], "side", _NOBODY) for each in (tree, facts.tree)
    )
    trial = trial_merge(git, ours, theirs)
    return "" if trial.sides else trial.tree


def _commit_with_author(
    git: Git, tree: str, parent: str, facts: _CommitFacts, signature: Signature
) -> str:
    committer = {
        "GIT_COMMITTER_NAME": signature.name,
        "GIT_COMMITTER_EMAIL": signature.email,
    }
    env = {**facts.author, **committer}
    text = facts.message.encode("utf-8", "surrogateescape")
    return git.run("commit-tree", "-p", parent, tree, stdin=text, env=env).text


def paths_in_history(git: Git, start: str, tip: str, paths: Sequence[str]) -> list[str]:
    """Return the paths in ``paths`` that were changed in the commits ``start..tip``."""
    command = ("rev-list", "-n1", "--full-history", tip, f"^{start}", "--")
    return [path for path in paths if git.run(*command, path).text]


def squash_into_next(git: Git, onto: str, refused: str, tip: str, message: str) -> str:
    """Squash the commits after ``onto`` up to ``refused`` into the next commit.

    All later commits are rewritten. Return the rewritten ``tip``.

    The message of the new commit is ``message``, with the subjects of the squashed commits. A
    subject that equals the subject of ``message`` is omitted. If no subject remains, the new commit
    keeps the message of the next commit.

    ``refused``: a commit that was rejected, for example by a gate. Return ``tip`` unchanged in
    these cases:

    - There is no commit after ``onto`` up to ``refused``.
    - ``tip`` is not a descendant of ``refused``.
    - A commit to squash, or the next commit, is a merge.
    - A commit up to ``refused`` has two children.
    """
    squashed = _parents(git, refused, onto)
    later = _parents(git, tip, refused)
    inner = {*squashed} - {refused}
    is_line = squashed and all(len(each) == 1 for each in squashed.values())
    is_on_top = [each for each in later.values() if refused in each] == [[refused]]
    if not (is_line and is_on_top) or any(inner & {*each} for each in later.values()):
        return tip
    renamed = {refused: onto}
    title = message.partition("\n")[0]
    subjects = _subjects(git, squashed, title)
    for commit, parents in later.items():
        raw = git.run("cat-file", "commit", commit).out
        head, _, text = raw.partition(b"\n\n")
        all_subjects = dict.fromkeys([*subjects, *_subjects(git, [commit], title)])
        if refused in parents and all_subjects:
            text = _with_subjects(message, all_subjects).encode("utf-8", "surrogateescape")
        lines = [_with_new_parent(line, renamed) for line in head.split(b"\n")]
        content = b"\n".join(lines) + b"\n\n" + text
        renamed[commit] = git.run(
            "hash-object", "-t", "commit", "-w", "--stdin", stdin=content
        ).text
    return renamed[tip]


def _parents(git: Git, tip: str, start: str) -> dict[str, list[str]]:
    options = ("--parents", "--topo-order", "--reverse", tip, f"^{start}")
    lines = git.run("rev-list", *options, "--").text.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def _subjects(git: Git, commits: Iterable[str], title: str) -> list[str]:
    # A commit with the subject ``title`` is the result of an earlier squash. Its message lists the
    # subjects of the squashed commits.
    options = ("--no-walk=unsorted", "--format=%B%x00", "--no-show-signature", "--no-color")
    subjects = []
    for text in git.run("log", *options, *commits, "--").text.split("\0"):
        subject, _, body = text.strip().partition("\n")
        listed = body.strip().split("\n\n")[0].splitlines()
        squashed = [line.removeprefix("- ") for line in listed if line.startswith("- ")]
        subjects += squashed if subject == title else [subject]
    return [each for each in subjects if each]


def _with_subjects(message: str, subjects: Iterable[str]) -> str:
    subject, _, trailers = message.partition("\n\n")
    listed = "\n".join(f"- {each}" for each in subjects)
    return f"{subject}\n\n{listed}\n\n{trailers}"


def _with_new_parent(line: bytes, renamed: Mapping[str, str]) -> bytes:
    kind, _, commit = line.partition(b" ")
    new = renamed.get(commit.decode("latin-1")) if kind == b"parent" else None
    return b"parent " + new.encode() if new else line
