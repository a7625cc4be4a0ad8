"""What is in commits and on refs: nothing here needs a worktree."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

from orchestrator.core.evidence import ChangeSize
from orchestrator.core.repository import BranchWork, ConflictText, Merge, Signature, Undone
from orchestrator.git import (
    additions,
    commits,
    differences,
    faults,
    ignored,
    merging,
    replaying,
    starting,
    undone,
    users_submodules,
)
from orchestrator.git.place import Place
from orchestrator.git.running import ITSELF


class Committed(ABC):
    """A part of ``core.repository.Repository``, which says what each method does."""

    @abstractmethod
    def place(self) -> Place:
        """Raise RepositoryError when there is no repository."""

    def conflict_markers(self, start: str, end: str) -> Sequence[str]:
        return faults.in_words(faults.conflict_markers(self.place().git, start, end))

    def not_kept(self, commit: str) -> Mapping[str, str]:
        found = ignored.note_of(self.place().git, commit).get("not_kept")
        return found if isinstance(found, dict) else {}

    def tip(self, name: str) -> str:
        return self.place().git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def tips(self, prefix: str) -> Mapping[str, str]:
        shown = self.place().git.run("for-each-ref", "--format=%(refname) %(objectname)", prefix)
        return dict(line.split(" ") for line in shown.text.splitlines())

    def point(self, name: str, commit: str) -> None:
        self.place().git.run("update-ref", *ITSELF, "-m", "orchestrator", name, commit)

    def point_all(self, refs: Mapping[str, str]) -> None:
        given = "".join(f"update {name} {commit}\n" for name, commit in refs.items())
        how = (*ITSELF, "-m", "orchestrator", "--stdin")
        self.place().git.run("update-ref", *how, given=given.encode())

    def drop(self, name: str) -> None:
        self.place().git.run("update-ref", *ITSELF, "-d", name)

    def contains(self, commit: str, ancestor: str) -> bool:
        answer = self.place().git.run(
            "merge-base", "--is-ancestor", ancestor, commit, accept=(0, 1)
        )
        return answer.code == 0

    def changed(self, start: str, end: str) -> Sequence[str]:
        return commits.changed(self.place().git, start, end)

    def touched(self, start: str, end: str) -> Mapping[str, bool]:
        return commits.touched(self.place().git, start, end)

    def moved(self, start: str, end: str) -> Mapping[str, tuple[str, bool]]:
        return commits.moved(self.place().git, start, end)

    def added(self, start: str, end: str) -> Iterator[bytes]:
        place = self.place()
        yield from additions.added(place.git, start, end)
        for git, path, before, after in users_submodules.added(place.git, place.top, start, end):
            if before:
                yield from additions.added(git, before, after, f"{path}/")
            else:
                yield from additions.whole(git, after, f"{path}/")

    def present(self, commit: str, texts: Collection[bytes]) -> Collection[bytes]:
        return additions.present(self.place().git, commit, texts)

    def work(self, start: str, end: str) -> BranchWork:
        return differences.work(self.place().git, start, end)

    def size(self, start: str, end: str) -> ChangeSize:
        return differences.size(self.place().git, start, end)

    def patch(self, start: str, end: str, most_bytes: int) -> str:
        return differences.patch(self.place().git, start, end, most_bytes)

    def tracks(self, commit: str, path: str) -> bool:
        return starting.tracks(self.place().git, commit, path)

    def join(
        self, first: str, second: str, message: str, signature: Signature, content: str = ""
    ) -> str:
        git = self.place().git
        tree = commits.tree_of(git, content or first)
        return commits.commit_tree(git, tree, [first, second], message, signature)

    def line(self, start: str, tip: str) -> Sequence[str]:
        return replaying.line(self.place().git, start, tip)

    def in_history(self, start: str, tip: str, paths: Sequence[str]) -> Collection[str]:
        return replaying.in_history(self.place().git, start, tip, paths)

    def folded(self, onto: str, refused: str, tip: str, message: str) -> str:
        return replaying.folded(self.place().git, onto, refused, tip, message)

    def replay(
        self,
        onto: str,
        commits: Sequence[str],
        final: str,
        message: str,
        signature: Signature,
    ) -> str:
        return replaying.replay(self.place().git, onto, commits, final, message, signature)

    def merge(
        self,
        ours: str,
        theirs: str,
        message: str,
        signature: Signature,
        *,
        force: bool,
        union: bool = False,
    ) -> Merge:
        how = merging.How(force=force, union=union)
        return merging.merge(self.place().git, ours, theirs, message, signature, how)

    def undone(
        self, base: str, result: str, tip: str, earlier: Sequence[str], others: Sequence[str]
    ) -> Undone:
        return undone.undone(self.place().git, base, result, tip, earlier, others)

    def reapplied(
        self, base: str, result: str, tip: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        git = self.place().git
        return undone.reapplied(git, base, result, tip, message, signature, force=force)

    def marked(self, ours: str, theirs: str, message: str, signature: Signature) -> str:
        return merging.marked(self.place().git, ours, theirs, message, signature)

    def conflict_texts(self, ours: str, theirs: str) -> Sequence[ConflictText]:
        return merging.conflict_texts(self.place().git, ours, theirs)

    def unresolved(self, ours: str, theirs: str, commit: str) -> Sequence[str]:
        return merging.unresolved(self.place().git, ours, theirs, commit)
