"""Files that two sides changed: line ends, unions of lines, and versions of one side."""

import subprocess
from collections.abc import Mapping

import pytest

from orchestrator.core.repository.repository import Merge, MergedFile, MergeRule
from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

Files = Mapping[str, str | bytes]
LOG = "# Changes\n\n- first\n"
CODE = "".join(f"def f{number}():\n    return {number}\n\n\n" for number in range(12))


def commit(project: Project, name: str, files: Files, start: str = "main") -> str:
    project.git("checkout", "-q", "-B", name, start)
    for path, content in files.items():
        place = project.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        project.git("add", "--", path)
    project.git("commit", "-q", "--allow-empty", "-m", name)
    project.git("checkout", "-q", "main")
    return project.git("rev-parse", name)


def sides(project: Project, base: Files, ours: Files, theirs: Files) -> tuple[str, str]:
    project.git("reset", "-q", "--hard", commit(project, "base", base))
    return commit(project, "ours", ours), commit(project, "theirs", theirs)


def raw(project: Project, merged: Merge, path: str) -> bytes:
    name = project.git("rev-parse", f"{merged.commit}:{path}")
    ran = subprocess.run(
        ["git", "cat-file", "blob", name], cwd=project.path, capture_output=True, check=True
    )
    return ran.stdout


def merge_union(repository: GitRepository, ours: str, theirs: str) -> Merge:
    return repository.merge(ours, theirs, "merged", WHO, force=False, union=True)


# Both sides only add lines


def test_lines_that_three_workers_append_are_all_there_in_their_order(
    project: Project, repository: GitRepository
) -> None:
    base = commit(project, "base", {"log.md": LOG})
    tip = base
    for name in ("one", "two", "three"):
        tip = merge_union(
            repository, tip, commit(project, name, {"log.md": f"{LOG}- {name}\n"}, base)
        )
        assert tip.commit, tip
        tip = tip.commit
    assert project.show(tip, "log.md") == f"{LOG}- one\n- two\n- three"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "base", "ours", "theirs", "expected"),
    [
        ("a.md", "x", "x\na", "x\nb", "x\na\nb"),
        ("a.md", "x", "x\na\n", "x\nb\n", "x\na\nb\n"),
        (
            "a.py",
            "x = 1\n",
            "import a\nx = 1\n",
            "import b\nx = 1\n",
            "import a\nimport b\nx = 1\n",
        ),
        # Lines that both sides added occur once; similar lines are both kept.
        ("a.md", "x\n", "x\na\n", "x\na\nb\n", "x\na\nb\n"),
        ("a.md", "x\n", "x\na\nb\n", "x\na\n", "x\na\nb\n"),
        (
            "a.py",
            "x = 1\n",
            "import a\nimport z\nx = 1\n",
            "import b\nimport z\nx = 1\n",
            "import a\nimport z\nimport b\nx = 1\n",
        ),
        (
            "a.js",
            "x\n",
            "x\nfunction a() {\n  return 1\n}\n",
            "x\nfunction b() {\n  return 1\n}\n",
            "x\nfunction a() {\n  return 1\n}\nfunction b() {\n  return 1\n}\n",
        ),
        (".gitignore", "x\n", "x\n*.a\n*.c\n", "x\n*.b\n*.c\n", "x\n*.a\n*.c\n*.b\n"),
        ("a.json", "{\n}\n", '{\n"a": 1\n}\n', '{\n"b": 2\n}\n', None),
        ("a.json", "[\n1\n]\n", "[\n2,\n1\n]\n", "[\n3,\n1\n]\n", "[\n2,\n3,\n1\n]\n"),
        ("a.json", '{\n"x": 1\n}\n', '{\n"a": 1,\n"x": 1\n}\n', '{\n"a": 2,\n"x": 1\n}\n', None),
        ("a.toml", "[x]\n", "[x]\na = 1\n", "[x]\nb = 2\n", "[x]\na = 1\nb = 2\n"),
        ("a.toml", "[x]\n", "[x]\na = 1\n", "[x]\na = 2\n", None),
        ("a.yaml", "x: 1\n", "x: 1\na: 1\n", "x: 1\nb: 2\n", "x: 1\na: 1\nb: 2\n"),
        ("a.yaml", "x: 1\n", "x: 1\na: 1\n", "x: 1\na: 2\n", None),
        (
            "a.xml",
            "<a>\n</a>\n",
            "<a>\n<b/>\n</a>\n",
            "<a>\n<c/>\n</a>\n",
            "<a>\n<b/>\n<c/>\n</a>\n",
        ),
        ("a.py", "x = 1\n", "x = 1\ndef f(): 1\n", "x = 1\ndef f(): 2\n", None),
        ("uv.lock", "x\n", "x\na\n", "x\nb\n", None),
        ("package-lock.json", "[\n1\n]\n", "[\n2,\n1\n]\n", "[\n3,\n1\n]\n", None),
        # One side changes or removes a line.
        ("a.md", "x\ny\n", "x\nz\n", "x\ny\na\n", None),
        ("a.md", "x\ny\n", "x\n", "x\ny\na\n", None),
    ],
)
def test_a_union(
    project: Project,
    repository: GitRepository,
    path: str,
    base: str,
    ours: str,
    theirs: str,
    expected: str | None,
) -> None:
    first, second = sides(project, {path: base}, {path: ours}, {path: theirs})

    merged = merge_union(repository, first, second)

    assert bool(merged.commit) is (expected is not None)
    assert not repository.merge(first, second, "m", WHO, force=False).commit
    if expected is None:
        assert [each.path for each in merged.conflicts] == [path]
    else:
        assert raw(project, merged, path).decode() == expected
        assert merged.files == (MergedFile(path=path, way=MergeRule.UNION),)


@pytest.mark.parametrize(("path", "unites"), [("notes.txt", True), ("a.py", False), ("n", False)])
def test_files_that_both_sides_made_are_united_where_lines_are_all_that_they_are(
    project: Project, repository: GitRepository, path: str, unites: bool
) -> None:
    first, second = sides(project, {}, {path: "a = 1\n"}, {path: "b = 1\n"})
    merged = merge_union(repository, first, second)
    assert bool(merged.commit) is unites
    if unites:
        assert project.show(merged.commit, path) == "a = 1\nb = 1"


def test_no_union_where_another_file_conflicts(project: Project, repository: GitRepository) -> None:
    base = {"log.md": LOG, "a": "1\n"}
    ours, theirs = ({"log.md": f"{LOG}- {n}\n", "a": f"{n}\n"} for n in ("x", "y"))
    merged = merge_union(repository, *sides(project, base, ours, theirs))
    assert [each.path for each in merged.conflicts] == ["a"]
    assert not merged.commit


def test_a_file_with_its_own_merge_driver_is_merged_by_it(
    project: Project, repository: GitRepository
) -> None:
    project.commit({".gitattributes": "*.md -merge\n"})
    ours, theirs = {"log.md": f"{LOG}x\n"}, {"log.md": f"{LOG}y\n"}
    first, second = sides(project, {"log.md": LOG}, ours, theirs)
    assert not merge_union(repository, first, second).commit
    forced = repository.merge(first, second, "m", WHO, force=True)
    assert project.show(forced.commit, "log.md") == f"{LOG}y"


def test_a_file_that_a_merge_driver_of_the_repository_merged_is_named(
    project: Project, repository: GitRepository
) -> None:
    project.git("config", "merge.mine.driver", "true")
    project.commit({".gitattributes": "*.md merge=mine\n"})
    base = {"log.md": LOG, "one.md": LOG, "same.md": LOG, "code.py": CODE}
    ours = {"log.md": f"{LOG}x\n", "same.md": "s\n", "code.py": CODE.replace("return 1\n", "\n")}
    theirs = {**ours, "log.md": f"y\n{LOG}", "one.md": "1\n", "code.py": f"{CODE}\n"}

    merged = repository.merge(*sides(project, base, ours, theirs), "m", WHO, force=False)

    assert project.show(merged.commit, "log.md") == f"{LOG}x"
    assert merged.files == (MergedFile(path="log.md", way=MergeRule.DRIVER),)


# Line ends


def dos(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("turned", [False, True])
def test_line_ends_are_no_conflict(
    project: Project, repository: GitRepository, turned: bool
) -> None:
    text = "one\ntwo\nthree\nfour\n"
    pair = [{"a": dos(text)}, {"a": text.replace("two", "2")}]
    first, second = sides(project, {"a": text}, *(reversed(pair) if turned else pair))

    merged = repository.merge(first, second, "merged", WHO, force=False)

    assert raw(project, merged, "a") == dos("one\n2\nthree\nfour\n")
    assert merged.files == (MergedFile(path="a", way=MergeRule.LINE_ENDS),)


def test_blanks_at_line_ends_are_no_conflict(project: Project, repository: GitRepository) -> None:
    ours = {"a": "one\ntwo\nthree  \n"}
    first, second = sides(project, {"a": "one  \ntwo  \nthree  \n"}, ours, {"a": "one  \n2\n3\n"})
    merged = repository.merge(first, second, "merged", WHO, force=False)
    assert raw(project, merged, "a") == b"one\n2\n3\n"


def test_a_change_of_both_stays_a_conflict_whatever_the_line_ends(
    project: Project, repository: GitRepository
) -> None:
    text = "one\ntwo\nthree\n"
    ours, theirs = {"a": dos(text.replace("two", "2"))}, {"a": text.replace("two", "zwei")}
    merged = repository.merge(*sides(project, {"a": text}, ours, theirs), "m", WHO, force=False)
    assert [each.path for each in merged.conflicts] == ["a"]


def test_indentation_is_never_ignored(project: Project, repository: GitRepository) -> None:
    """In Python, indentation decides which lines belong to a loop."""
    text = "for x in y:\n    a()\n    b()\nc()\n"
    ours, theirs = {"a.py": text.replace("    b", "b")}, {"a.py": text.replace("b()", "b(x)")}
    for union in (False, True):
        first, second = sides(project, {"a.py": text}, ours, theirs)
        merged = repository.merge(first, second, "m", WHO, force=False, union=union)
        assert [each.path for each in merged.conflicts] == ["a.py"]


# Directories


def test_a_new_file_follows_the_directory_that_the_other_side_renamed(
    project: Project, repository: GitRepository
) -> None:
    base = {f"src/{name}.py": f"{name}\n" * 5 for name in "abc"}
    project.git("reset", "-q", "--hard", commit(project, "base", base))
    theirs = commit(project, "theirs", {"src/new.py": "new\n"})
    project.git("checkout", "-q", "-b", "ours")
    project.git("mv", "src", "lib")
    project.git("commit", "-q", "-m", "moved")

    merged = repository.merge(project.git("rev-parse", "ours"), theirs, "m", WHO, force=False)

    assert "lib/new.py" in project.files(merged.commit)
    assert merged.files == (MergedFile(path="lib/new.py", way=MergeRule.DIRECTORY_RENAME),)


# Theirs


def test_theirs_wins_the_hunk_and_what_is_far_from_it_stays(
    project: Project, repository: GitRepository
) -> None:
    ours = CODE.replace("return 1\n", "return 'ours'\n").replace("return 8", "return 'far'")
    theirs = CODE.replace("return 1\n", "return 'theirs'\n").replace("return 5", "return 'near'")
    first, second = sides(project, {"a.py": CODE}, {"a.py": ours, "n": "n\n"}, {"a.py": theirs})

    merged = repository.merge(first, second, "merged", WHO, force=True)

    expected = theirs.replace("return 8", "return 'far'")
    assert project.show(merged.commit, "a.py") == expected.strip()
    assert "n" in project.files(merged.commit)
    [conflict] = merged.conflicts
    [lost] = conflict.lost
    assert (conflict.path, lost.first, lost.last, lost.text) == (
        "a.py",
        6,
        6,
        ("    return 'ours'",),
    )
    assert lost.commits == (first,)


def test_lines_whose_removal_is_overruled_are_named(
    project: Project, repository: GitRepository
) -> None:
    ours = CODE.replace("def f3():\n    return 3\n\n\n", "")
    theirs = CODE.replace("return 3", "return 'theirs'")
    merged = repository.merge(
        *sides(project, {"a.py": CODE}, {"a.py": ours}, {"a.py": theirs}), "m", WHO, force=True
    )
    assert project.show(merged.commit, "a.py") == theirs.strip()
    [lost] = merged.conflicts[0].lost
    assert (lost.removed, lost.first <= 14 <= lost.last) == (True, True), lost


def test_with_theirs_lines_that_both_added_are_theirs(
    project: Project, repository: GitRepository
) -> None:
    ours, theirs = {"log.md": f"{LOG}- ours\n"}, {"log.md": f"{LOG}- theirs\n"}
    merged = repository.merge(*sides(project, {"log.md": LOG}, ours, theirs), "m", WHO, force=True)
    assert project.show(merged.commit, "log.md") == f"{LOG}- theirs"
    assert [each.text for each in merged.conflicts[0].lost] == [("- ours",)]
