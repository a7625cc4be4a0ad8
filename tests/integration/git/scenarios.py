"""Functions that change a small project to the kinds of repositories that users have."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.project import Project

Arrange = Callable[[Project], None]
ALL: dict[str, Arrange] = {}


def scenario(arrange: Arrange) -> Arrange:
    ALL[arrange.__name__.replace("_", " ")] = arrange
    return arrange


#: By day, one repository has all scenarios of a list; at night, each scenario has a repository.
OF_FILES = (
    "names of all kinds",
    "case collisions",
    "symbolic links",
    "nested repositories",
    "a repository that was added as a file",
    "a file where another commit has a directory",
    "export attributes",
    "read only and executable files",
)
OF_CHECKOUTS = (
    "empty commit at head",
    "worktrees of the users",
    "packed refs and objects",
    "skipped and assumed files",
    "detached head",
)


def raw(project: Project, name: bytes) -> bytes:
    return os.path.join(os.fsencode(project.path), name)


# The checkout


@scenario
def dirty_checkout(project: Project) -> None:
    project.write("README.md", "stashed\n")
    project.git("stash", "-q")
    project.write("src/app.py", "work in progress\n")
    project.write("staged.txt", "staged\n")
    project.git("add", "staged.txt")
    project.git("rm", "-q", "--cached", "README.md")
    project.write("untracked.txt", "mine\n")
    project.write("intended.txt", "mine\n")
    project.git("add", "-N", "intended.txt")


@scenario
def another_branch(project: Project) -> None:
    project.git("switch", "-q", "-c", "feature/with/slashes")
    project.commit({"feature.txt": "f\n"}, "feature")


@scenario
def detached_head(project: Project) -> None:
    project.git("checkout", "-q", "--detach")


@scenario
def in_the_middle_of_a_merge(project: Project) -> None:
    project.git("switch", "-qc", "other")
    project.commit({"README.md": "theirs\n"}, "theirs")
    project.git("switch", "-q", "main")
    project.commit({"README.md": "ours\n"}, "ours")
    project.git("merge", "other", check=False)


@scenario
def in_the_middle_of_a_rebase_and_a_bisect(project: Project) -> None:
    project.git("switch", "-qc", "other")
    project.commit({"README.md": "theirs\n"}, "theirs")
    project.git("switch", "-q", "main")
    project.commit({"README.md": "ours\n"}, "ours")
    project.git("bisect", "start")
    project.git("rebase", "other", check=False)


@scenario
def stale_index_lock(project: Project) -> None:
    (project.path / ".git" / "index.lock").touch()
    (project.path / ".git" / "HEAD.lock").touch()
    (project.path / ".git" / "refs" / "heads" / "main.lock").touch()
    (project.path / ".git" / "config.lock").touch()


@scenario
def no_index(project: Project) -> None:
    (project.path / ".git" / "index").unlink()


@scenario
def empty_commit_at_head(project: Project) -> None:
    project.git("commit", "-q", "--allow-empty", "-m", "nothing")


@scenario
def skipped_and_assumed_files(project: Project) -> None:
    project.git("update-index", "--skip-worktree", "README.md")
    project.git("update-index", "--assume-unchanged", "src/app.py")
    project.write("README.md", "local\n")


@scenario
def sparse_checkout(project: Project) -> None:
    project.commit({"big/a.txt": "a\n", "big/deep/b.txt": "b\n"}, "more")
    project.git("sparse-checkout", "set", "--cone", "src")


@scenario
def worktrees_of_the_users(project: Project) -> None:
    project.git("worktree", "add", "-q", "../mine", "-b", "mine")
    project.git("worktree", "add", "-q", "../worktree", "-b", "same-name")
    project.git("worktree", "lock", "../worktree")


# Files


@scenario
def names_of_all_kinds(project: Project) -> None:
    names = [b"new\nline", b"tab\there", b"latin-\xe9", b"-dash", b" lead", b"trail ", b'quo"te']
    names += ["umlaut-ü".encode(), b":(glob)star*", b"back\\slash", b"{brace}", b"#hash"]
    for name in names:
        Path(os.fsdecode(raw(project, name))).write_bytes(name)
    directory = Path(os.fsdecode(raw(project, b"dir\n\xff ")))
    directory.mkdir()
    (directory / os.fsdecode(b"f\xfe")).touch()
    project.git("add", "--all", "--", ".", ":!product")
    project.git("commit", "-q", "-m", "names")


@scenario
def case_collisions(project: Project) -> None:
    project.commit({"File.txt": "1\n", "file.txt": "2\n", "SRC/app.py": "3\n"}, "cases")


@scenario
def symbolic_links(project: Project) -> None:
    outside = project.path.parent / "outside"
    outside.mkdir()
    (outside / "o.txt").write_text("o\n")
    links = {
        "dangling": "nowhere",
        "absolute": str(outside),
        "file": "src/app.py",
        "up": "../outside",
    }
    for name, target in {**links, "loop": "loop", "dir": "src"}.items():
        (project.path / name).symlink_to(target)
    project.git("add", "--", *links, "loop", "dir")
    project.git("commit", "-q", "-m", "links")


@scenario
def read_only_and_executable_files(project: Project) -> None:
    project.commit({"locked.txt": "l\n", "tool.sh": "#!/bin/sh\n"}, "modes")
    (project.path / "tool.sh").chmod(0o755)
    project.git("commit", "-q", "-am", "executable")
    (project.path / "locked.txt").chmod(0o400)
    (project.path / "src").chmod(0o555)


@scenario
def nested_repositories(project: Project) -> None:
    Project(project.path / "nested").begin({"n.txt": "n\n"})
    Project(project.path / "src" / "also").begin({"n.txt": "n\n"})


@scenario
def a_repository_that_was_added_as_a_file(project: Project) -> None:
    Project(project.path / "gitlink").begin({"n.txt": "n\n"})
    project.git("add", "gitlink")
    project.git("commit", "-q", "-m", "a link without .gitmodules")


@scenario
def a_large_file(project: Project) -> None:
    (project.path / "large.bin").write_bytes(os.urandom(1 << 20) * 24)
    project.git("add", "large.bin")
    project.git("commit", "-q", "-m", "large")


@scenario
def a_file_where_another_commit_has_a_directory(project: Project) -> None:
    project.commit({"thing/a.txt": "a\n"}, "directory")
    project.git("rm", "-q", "-r", "thing")
    project.commit({"thing": "file\n"}, "file")


# Attributes and filters


@scenario
def line_ends(project: Project) -> None:
    project.git("config", "core.autocrlf", "true")
    (project.path / "dos.txt").write_bytes(b"a\r\nb\r\n")
    project.git("add", "dos.txt")
    project.git("commit", "-q", "-m", "dos")


@scenario
def a_mix_of_line_ends_that_git_would_change(project: Project) -> None:
    (project.path / "mixed.txt").write_bytes(b"a\r\nb\n")
    project.git("add", "mixed.txt")
    project.git("commit", "-q", "-m", "mixed")
    project.commit({".gitattributes": "*.txt text eol=lf\n"}, "attributes")


@scenario
def a_filter_that_fails(project: Project) -> None:
    project.git("config", "filter.broken.smudge", "false")
    project.git("config", "filter.broken.clean", "false")
    project.commit({".gitattributes": "*.dat filter=broken\n", "a.dat": "a\n"}, "filtered")


@scenario
def a_filter_that_is_not_there(project: Project) -> None:
    project.commit({".gitattributes": "*.dat filter=unknown\n", "a.dat": "a\n"}, "filtered")


@scenario
def export_attributes(project: Project) -> None:
    project.commit(
        {
            ".gitattributes": "README.md export-ignore\nv export-subst ident\n",
            "v": "$Id$ $Format:%H$\n",
        }
    )


# Configuration and hooks


HOOKS = [
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "post-checkout",
    "post-merge",
    "pre-merge-commit",
    "post-index-change",
    "reference-transaction",
    "pre-auto-gc",
    "post-rewrite",
    "fsmonitor-watchman",
]


def _add_hooks(directory: Path, trace: Path) -> None:
    directory.mkdir(exist_ok=True)
    for name in HOOKS:
        hook = directory / name
        hook.write_text(f"#!/bin/sh\necho {name} >> '{trace}'\nexit 1\n")
        hook.chmod(0o755)


@scenario
def hooks(project: Project) -> None:
    _add_hooks(project.path / ".git" / "hooks", project.path / "a hook ran")


@scenario
def hooks_in_the_project(project: Project) -> None:
    _add_hooks(project.path / "hooks", project.path / "a hook ran")
    project.git("add", "hooks")
    project.git("commit", "-q", "-m", "hooks")
    project.git("config", "core.hooksPath", "hooks")


CONFIGURATION = {
    "status.showUntrackedFiles": "no",
    "status.relativePaths": "true",
    "status.submoduleSummary": "true",
    "color.ui": "always",
    "core.pager": "false",
    "core.quotePath": "true",
    "core.fsmonitor": "true",
    "core.untrackedCache": "true",
    "core.splitIndex": "true",
    "core.logAllRefUpdates": "always",
    "core.abbrev": "4",
    "core.trustctime": "false",
    "core.checkStat": "minimal",
    "core.ignoreCase": "true",
    "core.precomposeUnicode": "true",
    "core.safecrlf": "true",
    "core.whitespace": "fix",
    "index.version": "4",
    "feature.manyFiles": "true",
    "commit.gpgSign": "true",
    "gpg.program": "false",
    "tag.gpgSign": "true",
    "user.useConfigOnly": "true",
    "merge.ff": "only",
    "merge.conflictStyle": "diff3",
    "merge.verifySignatures": "true",
    "diff.noprefix": "true",
    "diff.external": "false",
    "diff.renames": "copies",
    "log.showSignature": "true",
    "gc.auto": "1",
    "maintenance.auto": "true",
    "submodule.recurse": "true",
    "branch.autoSetupMerge": "always",
    "branch.autoSetupRebase": "always",
    "checkout.defaultRemote": "origin",
    "checkout.guess": "true",
    "worktree.guessRemote": "true",
    "transfer.fsckObjects": "true",
    "init.defaultBranch": "trunk",
    "advice.statusHints": "true",
    "alias.status": "!false",
    "alias.commit-tree": "!false",
    "core.editor": "false",
    "core.askPass": "false",
    "interactive.diffFilter": "false",
}


@scenario
def every_setting_that_could_matter(project: Project) -> None:
    for name, value in CONFIGURATION.items():
        project.git("config", name, value)


@scenario
def settings_of_worktrees(project: Project) -> None:
    project.git("config", "extensions.worktreeConfig", "true")
    project.git("config", "--worktree", "core.filemode", "false")
    project.git("config", "--worktree", "core.worktree", str(project.path))


# Kinds of repositories


@scenario
def packed_refs_and_objects(project: Project) -> None:
    for number in range(5):
        project.git("branch", f"b{number}")
    project.git("gc", "-q", "--prune=now")


@scenario
def a_core_worktree(project: Project) -> None:
    project.git("config", "core.worktree", str(project.path))


@scenario
def a_git_directory_elsewhere(project: Project) -> None:
    moved = project.path.parent / "moved.git"
    (project.path / ".git").rename(moved)
    (project.path / ".git").write_text(f"gitdir: {moved}\n")


@scenario
def a_remote_with_a_branch_of_our_name(project: Project) -> None:
    project.git("remote", "add", "origin", "file:///nowhere")
    project.git("update-ref", "refs/remotes/origin/orchestrator", "HEAD")
    project.git("tag", "orchestrator")


@scenario
def replaced_and_grafted_history(project: Project) -> None:
    project.commit({"second.txt": "2\n"}, "second")
    project.git("replace", "--graft", "HEAD")


def clone(project: Project, *options: str) -> Project:
    """Clone the project to another directory."""
    place = project.path.parent / "clone"
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        project.git("config", name, "true")
    project.git("clone", "-q", *options, f"file://{project.path}", str(place))
    return Project(place)
