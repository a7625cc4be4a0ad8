"""Compares worktrees and merges of several sizes, one and eight in parallel, with git alone."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.figures import Figure, Findings
from benchmarks.options import Options, place
from orchestrator.core.repository.repository import Signature
from orchestrator.git import GitRepository

SIZES = (100, 5_000, 50_000)
AT_ONCE = 8
WHO = Signature(name="benchmark", email="benchmark@example.org")
_NOTES = (
    "times are the least of all rounds, in ms; ratios are to `git worktree add` in the same round",
    "spare: made of the files of a worktree of the same job that is not needed any more",
    "hard links are not safe (a write is seen in all of them); cp leaves an index without times",
    "ext4 without a journal writes files up to 20 times more slowly for some minutes after as many "
    "were removed (the kernel's recently_deleted; plain git, too), so "
    "nothing is removed between the measurements of a round",
)


def measure(options: Options) -> Findings:
    figures: list[Figure] = []
    for size in options.pick(SIZES, (50, 100)):
        repository = make_repository(place() / "project", size)
        rounds = [_Round(repository).measured() for _ in range(min(options.rounds, 3))]
        least = {name: min(each[name] for each in rounds) for name in rounds[0]}
        ratio = {n: min(r[n] / r["git worktree add"] for r in rounds) for n in least}
        for name, seconds in least.items():
            figures.append(Figure(what=f"{size:,} files: {name}", value=seconds * 1000, unit="ms"))
            if not name.startswith(str(AT_ONCE)):
                figures.append(Figure(what=f"{size:,} files: {name}, ratio", value=ratio[name]))
    return Findings(figures=figures, notes=_NOTES)


class _Round:
    """One round of all measurements of one repository, in an empty directory."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.top = place()
        self.workspace = self.top / "product" / "workspace"
        self.workspace.mkdir(parents=True)
        self.repository = GitRepository(project, self.workspace, self.workspace.parent)
        self.base = self.repository.base().commit
        self.job = f"j{random.randrange(10**9)}"

    def measured(self) -> dict[str, float]:
        seconds = dict(self._by_git())
        seconds["made"] = _timed(lambda: self._open(1))
        seconds["committed"] = _timed(lambda: self._change(1))
        self._open(2)
        self._change(2)
        seconds["merged"] = _timed(self._merge)
        seconds["removed"] = _timed(lambda: self._close(1))
        seconds["made of a spare one"] = _timed(lambda: self._open(3))
        self._close(2)
        self._close(3)
        first_numbers = range(10, 10 + AT_ONCE)
        seconds[f"{AT_ONCE} at once, made"] = self._at_once(self._open, first_numbers)
        seconds[f"{AT_ONCE} at once, removed"] = self._at_once(self._close, first_numbers)
        second_numbers = range(30, 30 + AT_ONCE)
        seconds[f"{AT_ONCE} at once, made of spare ones"] = self._at_once(
            self._open, second_numbers
        )
        job_directory = str(self.workspace / f"job_{self.job}")
        self.repository.remove_job_refs(self.job, job_directory, job_directory)
        return seconds

    def _by_git(self) -> Iterator[tuple[str, float]]:
        """Measure git's methods in random order."""
        ways: dict[str, Callable[[Path], object]] = {
            "git worktree add": lambda target: self._git(
                "worktree", "add", "-q", "--detach", target
            ),
            "checkout.workers=2": lambda target: self._git(
                "-c", "checkout.workers=2", "worktree", "add", "-q", "--detach", target
            ),
            "git clone --shared": lambda target: self._git("clone", "-q", "--shared", ".", target),
        }
        for name in random.sample(list(ways), len(ways)):
            act, target = ways[name], self.top / name.replace(" ", "_")
            yield name, _timed(lambda act=act, target=target: act(target))  # type: ignore[misc]
        clone = str(self.top / "git_clone_--shared")
        for name, option in {"cp": "-a", "hard links": "-al"}.items():
            command = ["cp", option, clone, str(self.top / name)]
            yield name, _timed(lambda c=command: subprocess.run(c, check=True))  # type: ignore[misc]

    def _git(self, *arguments: object) -> None:
        subprocess.run(["git", *map(str, arguments)], cwd=self.project, check=True)

    def _directory(self, number: int) -> Path:
        return self.workspace / f"job_{self.job}" / f"worker_{number}" / "worktree"

    def _branch(self, number: int) -> str:
        return f"refs/heads/orchestrator/{self.job}/worker_{number}"

    def _open(self, number: int) -> None:
        directory = self._directory(number)
        directory.parent.mkdir(parents=True)
        self.repository.open_worktree(str(directory), self._branch(number), self.base)

    def _change(self, number: int) -> None:
        (self._directory(number) / f"new_{number}.txt").write_text("new\n")
        (self._directory(number) / "d0" / f"f{number * 10}.py").write_text("changed\n")
        directory = str(self._directory(number))
        self.repository.commit(directory, self._branch(number), "It works\n", WHO)

    def _merge(self) -> None:
        ours, theirs = (self.repository.commit_of(self._branch(number)) for number in (1, 2))
        assert self.repository.merge(ours, theirs, "Merge\n", WHO, force=False).commit

    def _close(self, number: int) -> None:
        self.repository.close_worktree(str(self._directory(number)), self._branch(number), WHO)

    def _at_once(self, act: Callable[[int], None], numbers: range) -> float:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return _timed(lambda: list(threads.map(act, numbers)))


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def make_repository(project: Path, size: int) -> Path:
    """Create a packed repository, as after a clone. Its files have 100 bytes to 3 KB."""
    rng = random.Random(size)
    width = max(10, size // 50)
    for number in range(size):
        path = project / f"d{number // width}" / f"f{number % width}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = [f"x{line} = {rng.random()}\n" for line in range(rng.randint(5, 120))]
        path.write_text("".join(text))
    for command in ("init -q -b main", "add -A", "commit -q -m first", "gc -q"):
        who = ["-c", "user.name=U", "-c", "user.email=u@example.org", "-c", "gc.auto=0"]
        subprocess.run(["git", *who, *command.split()], cwd=project, check=True)
    # Remove the sample hooks, so that copies of the repository do not include them.
    shutil.rmtree(project / ".git" / "hooks", ignore_errors=True)
    return project
