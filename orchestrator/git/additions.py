"""What commits add, each by itself, in git's own words: streamed, since a history may be long."""

from collections.abc import Collection, Iterator

from orchestrator.git.running import Git

#: As text whatever is in a file or in .gitattributes, and whatever the user has configured.
_PLAIN = (
    *("-p", "-U0", "-r", "-a", "--root", "--always", "--full-index"),
    *("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--submodule=short"),
    # Of a merge: what none of its sides has.
    *("-c", "--format=commit %H%n%w(0,1,1)%B"),
)


def added(git: Git, start: str, end: str, below: str = "") -> Iterator[bytes]:
    """Commits that ``end`` has and ``start`` has not, the oldest first.

    Each begins with ``commit <name>`` and its message, moved in by one space. ``below`` comes
    before paths.
    """
    lines = git.run("rev-list", "--reverse", "--parents", end, f"^{start}", "--").text.splitlines()
    # What has no parent is compared with the start: not all of it is new.
    given = "".join(f"{line} {start}\n" if " " not in line else f"{line}\n" for line in lines)
    names = (f"--src-prefix=a/{below}", f"--dst-prefix=b/{below}")
    return git.streamed("diff-tree", "--stdin", *_PLAIN, *names, given=given.encode())


def whole(git: Git, commit: str, below: str) -> Iterator[bytes]:
    """All that is in a commit, as if it had no history."""
    empty = git.run("hash-object", "-t", "tree", "--stdin", given=b"").text
    names = (f"--src-prefix=a/{below}", f"--dst-prefix=b/{below}")
    yield f"commit {commit}\n".encode()
    yield from git.streamed("diff-tree", *_PLAIN, *names, empty, commit)


def present(git: Git, commit: str, texts: Collection[bytes]) -> set[bytes]:
    """Those that stand in a file of a commit; none may have a line end."""
    if not texts:
        return set()
    # On its standard input: arguments of programs can be read by others.
    given = b"".join(text + b"\n" for text in texts)
    how = ("-a", "-h", "-o", "-F", "--no-color", "-f", "-")
    answer = git.run("grep", *how, commit, given=given, accept=(0, 1))
    return set(answer.out.split(b"\n")) & set(texts)
