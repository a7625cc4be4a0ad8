"""A worker that changes the configuration of all worktrees does not harm other workers."""

import json

import pytest

from tests.integration.git.conftest import Host
from tests.integration.site import Answer, shell
from tests.support.project import edit

GO = 'shared="$(git rev-parse --git-common-dir)"; until [ -e "$shared/go" ]; do sleep 0.02; done'
LEFT = 'shared="$(git rev-parse --git-common-dir)"; mkdir -p "$shared/info"; touch "$shared/go"'


def changes(ended: Answer) -> list[Answer]:
    found: list[Answer] = ended["repository_changes"]
    return found


def test_what_a_worker_changes_in_the_repository_is_named_and_restored(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    project = host.project
    project.git("config", "core.editor", "nano")
    hook = project.path / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o750)
    remote = project.path.parent / "origin.git"
    project.git("init", "-q", "--bare", str(remote))
    project.git("remote", "add", "origin", str(remote))
    for name in ("stale", "mine"):
        project.git("branch", name)
    at = project.git("rev-parse", "main")
    common = "shared=$(git rev-parse --git-common-dir); mkdir -p $shared/hooks"
    script = f"""
    {common}; echo 'exit 0' > $shared/hooks/pre-commit
    git config core.editor vi; git config own.name x
    git tag v9; git branch -q -D stale; git branch wild
    echo 1 > a.txt; git add a.txt; git commit -q -m own
    git push -q origin HEAD:refs/heads/early
    echo 'exit 1' > $shared/hooks/pre-push; chmod 700 $shared/hooks/pre-push
    git -C '{project.path}' commit -q --allow-empty -m theirs"""
    users = f"git -C '{project.path}' branch -f mine HEAD; git -C '{project.path}' tag users"
    quiet = "env -u GIT_CONFIG_COUNT GIT_COMMITTER_EMAIL=user@example.org"

    ended = host.run(shell(f'{script}; {quiet} bash -c "{users}"'), git="on")

    assert ended["status"] == "completed", ended
    by_kind_and_name = {(e["kind"], e["name"]): e for e in changes(ended)}
    assert {key: (e["alteration"], e["worker_id"]) for key, e in by_kind_and_name.items()} == {
        ("setting", "core.editor"): ("changed", ""),
        ("setting", "own.name"): ("added", ""),
        ("hook", "pre-push"): ("changed", ""),
        ("hook", "pre-commit"): ("added", ""),
        ("tag", "v9"): ("added", "worker_1"),
        ("branch", "wild"): ("added", "worker_1"),
        ("branch", "stale"): ("removed", ""),
        ("branch", "main"): ("changed", "worker_1"),
        ("push", "early"): ("added", "worker_1"),
    }
    theirs = project.git("rev-parse", "main")
    assert (
        by_kind_and_name["branch", "main"]["before"],
        by_kind_and_name["branch", "main"]["after"],
    ) == (at, theirs)
    pushed = by_kind_and_name["push", "early"]
    assert (pushed["remote"], pushed["before"]) == ("origin", "")
    assert pushed["after"] == project.git("-C", str(remote), "rev-parse", "early")
    for words in (
        "hook pre-commit added",
        "setting core.editor changed",
        f"branch main moved from {at[:12]} to {theirs[:12]} by worker_1",
        f"push to origin, branch early added at {pushed['after'][:12]} by worker_1",
        f"orchestrator restore {ended['job_id']}",
    ):
        assert words in ended["reason"], ended["reason"]
        assert words in host.final(ended["job_id"]).replace("\\", "")

    # The user has since changed one of the settings.
    project.git("config", "own.name", "y")
    capfd.readouterr()
    job, ids = ended["job_id"], ("-C", str(remote), "rev-parse", "early")
    assert host.command("restore", job) == 1
    error = capfd.readouterr().err
    assert "setting core.editor changed (can be restored)\n    - nano\n    + vi\n" in error
    assert "\n    -exit 0\n    +exit 1\n" in error and " theirs\n" in error
    assert f"(must be restored by hand: git -C {project.path} push origin --delete early)" in error
    assert f": bin/orchestrator restore {job} --yes\n" in error
    assert project.git("config", "core.editor") == "vi"

    assert host.command("restore", job, "--yes") == 1
    assert "not restored: setting own.name added" in capfd.readouterr().err
    restored = (
        project.git("config", "core.editor"),
        project.git("config", "own.name"),
        hook.read_text(),
        oct(hook.stat().st_mode)[-3:],
        hook.with_name("pre-commit").exists(),
        project.git("tag"),
        project.git("branch", "--list", "stale", "wild", "--format=%(refname:short)"),
        project.git("rev-parse", "main"),
        project.git(*ids),
    )
    assert restored == (
        *("nano", "y", "#!/bin/sh\nexit 0\n", "750", False, "users", "stale", at),
        pushed["after"],
    )
    assert host.command("restore", job, "--json") == 1
    outcomes = {
        (each["kind"], each["name"]): (each["outcome"], each["hint"])
        for each in json.loads(capfd.readouterr().out)["changes"]
    }
    assert outcomes["setting", "own.name"] == ("changed_since", "")
    assert outcomes["setting", "core.editor"] == ("as_before", "")
    assert outcomes["push", "early"][0] == "by_hand"
    project.git("config", "--unset", "own.name")
    project.git("config", "core.editor", "vi")
    assert host.command("restore", job, "--json") == 1
    assert "confirm with: " in json.loads(capfd.readouterr().err)["detail"]
    assert host.command("restore", job, "--json", "--yes") == 0
    assert '"name": "core.editor", "alteration": "changed"' in (out := capfd.readouterr().out)
    assert '"outcome": "restored"' in out
    assert host.command("restore", job, "--yes") == 0
    assert "nothing to restore" in capfd.readouterr().out
    assert project.git("rev-parse", "main") == at


@pytest.mark.parametrize(
    "setting",
    [
        "core.fileMode false",
        "core.autocrlf true",
        pytest.param("core.eol crlf", marks=pytest.mark.nightly),
    ],
)
def test_how_files_are_committed_stays_as_it_was(host: Host, setting: str) -> None:
    ended = host.run(
        edit(f"git config {setting}; echo x > x; {LEFT}"),
        edit(f"{GO}; chmod +x src/app.py; printf 'a\\r\\n' > dos; ln -s dos link"),
    )

    commit = host.record(ended["job_id"])["commit"]
    listed = host.project.git("ls-tree", "-r", commit, "src/app.py", "link")
    assert [each[:6] for each in listed.splitlines()] == ["120000", "100755"]
    assert host.project.git("cat-file", "-s", f"{commit}:dos") == "3"
    name = setting.split()[0].lower()
    assert {each["name"] for each in changes(ended)} == {name}
    assert host.record(ended["job_id"])["leaks"] == [
        f"setting {name} {changes(ended)[0]['alteration']}"
    ]


@pytest.mark.parametrize(
    "how",
    [
        "git config merge.x.driver true; git config merge.default x",
        "echo '* merge=union' > $shared/info/attributes",
        "echo '* merge=union' > $shared/a; git config core.attributesFile $(realpath $shared/a)",
    ],
)
def test_nothing_is_merged_with_merge_settings_of_a_worker_alone(host: Host, how: str) -> None:
    ended = host.run(
        edit(f"echo 1 >> README.md; {LEFT}; {how}"), edit(f"{GO}; echo 2 >> README.md")
    )

    assert ended["status"] == "partial"
    assert "git's merge settings changed while the job ran" in ended["reason"]
    record = host.record(ended["job_id"])
    assert (record["merged"], record["branch"]) == ([], "")
    assert "how files are merged changed" in record["leaks"]
    # A user who has checked the change may keep it.
    again = host.site.call("POST", f"/jobs/{ended['job_id']}/merge", {})
    assert again.json()["merged"] == ["worker_1", "worker_2"]


def test_merge_settings_of_the_user_count(host: Host) -> None:
    host.project.commit({".gitattributes": "README.md merge=union\n"})
    host.project.git("config", "merge.other.driver", "true")

    ended = host.run(edit("echo 1 >> README.md"), edit("echo 2 >> README.md"))

    record = host.record(ended["job_id"])
    assert (ended["status"], record["conflicts"]) == ("completed", [])
    assert host.project.show(record["commit"], "README.md").split() == ["hello", "1", "2"]
