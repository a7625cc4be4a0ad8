"""Every kind of conflict that git knows, with the result and the time of each strategy."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

StateChange = Callable[[Project], object]

LONG = "".join(f"line {number}\n" for number in range(20))
FILES = {
    "a.txt": LONG,
    "b.txt": LONG.replace("line", "row"),
    "d/1": LONG.replace("line", "column"),
    "d/2": "two\n" * 9,
}
COMMITS = ["1" * 40, "2" * 40]


def write(name: str, text: str) -> StateChange:
    return lambda project: project.write(name, text)


def move(name: str, to: str) -> StateChange:
    return lambda project: project.git("mv", name, to)


def remove(name: str) -> StateChange:
    return lambda project: project.git("rm", "-q", name)


def link(name: str, target: str) -> StateChange:
    def change(project: Project) -> None:
        (project.path / name).unlink(missing_ok=True)
        (project.path / name).symlink_to(target)

    return change


def directory(name: str, text: str) -> StateChange:
    def change(project: Project) -> None:
        (project.path / name).unlink(missing_ok=True)
        project.write(f"{name}/x", text)

    return change


def executable(name: str, text: str) -> StateChange:
    def change(project: Project) -> None:
        project.write(name, text)
        (project.path / name).chmod(0o755)

    return change


def binary(name: str, content: bytes) -> StateChange:
    return lambda project: (project.path / name).write_bytes(content)


def both(*changes: StateChange) -> StateChange:
    return lambda project: [each(project) for each in changes]


def submodule(commit: str) -> StateChange:
    return lambda project: project.git("update-index", "--add", "--cacheinfo", f"160000,{commit},s")


#: Mode and first line of each conflicting path, by name; None: removed.
Expected = Mapping[str, str | None]
KINDS: Mapping[str, tuple[StateChange, StateChange, list[str], Expected]] = {
    "modify/modify": (
        write("a.txt", "x\n" + LONG),
        write("a.txt", "y\n" + LONG),
        ["a.txt"],
        {"a.txt": "100644 y"},
    ),
    "modify/delete": (
        write("a.txt", LONG + "x\n"),
        remove("a.txt"),
        ["a.txt"],
        {"a.txt": None},
    ),
    "delete/modify": (
        remove("a.txt"),
        write("a.txt", "y\n" + LONG),
        ["a.txt"],
        {"a.txt": "100644 y"},
    ),
    "rename/rename to two names": (
        move("a.txt", "x.txt"),
        move("a.txt", "y.txt"),
        ["a.txt", "x.txt", "y.txt"],
        {"a.txt": None, "x.txt": None, "y.txt": "100644 line 0"},
    ),
    "rename/rename to one name": (
        move("a.txt", "z.txt"),
        move("b.txt", "z.txt"),
        ["z.txt"],
        {"z.txt": "100644 row 0", "a.txt": "100644 line 0"},
    ),
    "rename/delete": (move("a.txt", "x.txt"), remove("a.txt"), ["x.txt"], {"x.txt": None}),
    "delete/rename": (
        remove("a.txt"),
        move("a.txt", "y.txt"),
        ["y.txt"],
        {"y.txt": "100644 line 0"},
    ),
    "rename and modify/modify": (
        both(move("a.txt", "x.txt"), write("x.txt", "x\n" + LONG)),
        write("a.txt", "y\n" + LONG),
        ["x.txt"],
        {"a.txt": None, "x.txt": "100644 y"},
    ),
    "modify/rename and modify": (
        write("a.txt", "x\n" + LONG),
        both(move("a.txt", "y.txt"), write("y.txt", "y\n" + LONG)),
        ["y.txt"],
        {"a.txt": None, "y.txt": "100644 y"},
    ),
    "rename of a directory and modify/modify": (
        both(move("d", "e"), write("e/1", "x\n" + FILES["d/1"])),
        write("d/1", "y\n" + FILES["d/1"]),
        ["e/1"],
        {"d/1": None, "e/1": "100644 y"},
    ),
    "rename and modify/modify, and a directory of that name": (
        both(move("a.txt", "n"), write("n", "x\n" + LONG)),
        both(write("a.txt", "y\n" + LONG), write("n/x", "y\n")),
        ["n"],
        {"n/x": "100644 y", "a.txt": "100644 y"},
    ),
    "rename/add": (
        move("a.txt", "n"),
        write("n", "y\n"),
        ["n"],
        {"n": "100644 y", "a.txt": "100644 line 0"},
    ),
    "rename/modify and add": (
        move("a.txt", "n"),
        both(write("a.txt", "y\n" + LONG), write("n", "y\n")),
        ["n"],
        {"n": "100644 y", "a.txt": "100644 y"},
    ),
    "add/add": (write("n", "x\n"), write("n", "y\n"), ["n"], {"n": "100644 y"}),
    "add/add with another mode": (
        write("n", "x\n"),
        executable("n", "y\n"),
        ["n"],
        {"n": "100755 y"},
    ),
    "mode/delete": (executable("a.txt", LONG), remove("a.txt"), ["a.txt"], {"a.txt": None}),
    "link/file": (link("n", "a.txt"), write("n", "y\n"), ["n"], {"n": "100644 y"}),
    "file/link": (write("n", "x\n"), link("n", "a.txt"), ["n"], {"n": "120000 a.txt"}),
    "modify/becomes a link": (
        write("a.txt", "x\n" + LONG),
        link("a.txt", "b.txt"),
        ["a.txt"],
        {"a.txt": "120000 b.txt"},
    ),
    "link/link": (link("n", "a.txt"), link("n", "b.txt"), ["n"], {"n": "120000 b.txt"}),
    "file/directory": (
        write("n", "x\n"),
        directory("n", "y\n"),
        ["n"],
        {"n/x": "100644 y"},
    ),
    "directory/file": (
        directory("n", "x\n"),
        write("n", "y\n"),
        ["n"],
        {"n": "100644 y", "n/x": None},
    ),
    "becomes a directory/modify": (
        directory("a.txt", "x\n"),
        write("a.txt", "y\n" + LONG),
        ["a.txt"],
        {"a.txt": "100644 y", "a.txt/x": None},
    ),
    "modify/becomes a directory": (
        write("a.txt", "x\n" + LONG),
        directory("a.txt", "y\n"),
        ["a.txt"],
        {"a.txt/x": "100644 y"},
    ),
    "binary": (binary("n", b"\0x\n"), binary("n", b"\0y\n"), ["n"], {"n": "100644 \0y"}),
    "submodule": (submodule(COMMITS[0]), submodule(COMMITS[1]), ["s"], {"s": "160000 " + "2" * 40}),
    "submodule/file": (submodule(COMMITS[0]), write("s", "y\n"), ["s"], {"s": "100644 y"}),
    # States that resemble a conflict.
    "mode/modify": (executable("a.txt", LONG), write("a.txt", "y\n" + LONG), [], {}),
    "rename/modify": (move("a.txt", "x.txt"), write("a.txt", "y\n" + LONG), [], {}),
    "add in a directory that is renamed": (
        write("d/new", "x\n"),
        move("d", "e"),
        [],
        {"e/new": "100644 x", "e/1": "100644 column 0", "d/1": None},
    ),
}
#: Kinds in which both sides only add lines: the first lines of a result with both sides.
UNITED: Mapping[str, str] = {
    "modify/modify": "a.txt",
    "rename and modify/modify": "x.txt",
    "modify/rename and modify": "y.txt",
    "rename of a directory and modify/modify": "e/1",
}


def side(project: Project, name: str, change: StateChange) -> str:
    project.git("checkout", "-q", "-b", name, "main")
    project.path.joinpath("s").mkdir(exist_ok=True) if name.startswith("s") else None
    change(project)
    if not project.git("ls-files", "-s", "s").startswith("160000"):
        project.git("add", "--all", "--", ".", ":!product")
    project.git("commit", "-q", "-m", name)
    project.git("checkout", "-q", "-f", "main")
    return project.git("rev-parse", name)


def seen(project: Project, commit: str, path: str) -> str | None:
    found = project.git("ls-tree", commit, "--", path)
    if not found:
        return None
    mode, kind, name = found.split("\t")[0].split(" ")
    if kind == "commit":
        return f"{mode} {name}"
    assert kind == "blob", found
    return f"{mode} {project.git('cat-file', 'blob', name).split(chr(10))[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_conflict_of_this_kind(project: Project, repository: GitRepository, kind: str) -> None:
    ours, theirs, paths, expected = KINDS[kind]
    project.commit(FILES, "more to work on")
    first, second = side(project, "ours", ours), side(project, "theirs", theirs)
    before = project.snapshot()

    merged = repository.merge(first, second, "merged", WHO, force=False)
    forced = repository.merge(first, second, "merged", WHO, force=True)
    united = repository.merge(first, second, "merged", WHO, force=False, union=True)

    assert [each.path for each in merged.conflicts] == paths
    without_lost = tuple(replace(each, lost=()) for each in forced.conflicts)
    assert (merged.conflicts, united.conflicts) == (
        without_lost,
        () if kind in UNITED else without_lost,
    )
    assert bool(merged.commit) is not bool(paths)
    assert all(each.lost for each in forced.conflicts if each.ours), "lost changes are named"
    assert {path: seen(project, forced.commit, path) for path in expected} == expected
    assert not [name for name in project.files(forced.commit) if "~" in name]
    if kind in UNITED:
        lines = project.show(united.commit, UNITED[kind]).split("\n")[:2]
        assert lines == ["x", "y"]
    assert project.snapshot() == before


def test_a_name_that_looks_like_one_of_gits_own_stays(
    project: Project, repository: GitRepository
) -> None:
    odd = f"a.txt~{'0' * 40}"
    first = side(project, "ours", write(odd, "x\n"))
    second = side(project, "theirs", write(odd, "y\n"))

    forced = repository.merge(first, second, "merged", WHO, force=True)

    assert [each.path for each in forced.conflicts] == [odd]
    assert seen(project, forced.commit, odd) == "100644 y"


@pytest.mark.slow
def test_more_paths_than_a_command_line_takes(project: Project, repository: GitRepository) -> None:
    names = [f"{'long' * 50}/{number}" for number in range(400)]
    for name, text in (("ours", "x\n"), ("theirs", "y\n")):
        side(project, name, lambda at, text=text: [at.write(each, text) for each in names])
    first, second = (project.git("rev-parse", name) for name in ("ours", "theirs"))

    forced = repository.merge(first, second, "merged", WHO, force=True)

    assert len(forced.conflicts) == 400
    assert seen(project, forced.commit, names[399]) == "100644 y"


@pytest.mark.slow
def test_conflicts_are_found_at_once(project: Project, repository: GitRepository) -> None:
    """The promise is 50 ms in an ordinary repository. The limit is higher, because this machine may
    be busy.
    """
    project.commit({f"src/{i % 50}/{i}.txt": f"{i}\n" for i in range(1000)}, "a thousand files")
    first = side(project, "ours", write("a.txt", "x\n"))
    second = side(project, "theirs", write("a.txt", "y\n"))
    repository.location()
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        assert repository.merge(first, second, "merged", WHO, force=False).conflicts
        spent.append(time.perf_counter() - began)
    assert min(spent) < 0.25, spent
