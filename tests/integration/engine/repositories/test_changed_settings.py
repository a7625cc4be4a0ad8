"""What a worker sets in the configuration that all worktrees share: no harm comes to the others."""

import pytest

from tests.integration.engine.repositories.conftest import Host
from tests.project import edit

GO = 'shared="$(git rev-parse --git-common-dir)"; until [ -e "$shared/go" ]; do sleep 0.02; done'
LEFT = 'shared="$(git rev-parse --git-common-dir)"; mkdir -p "$shared/info"; touch "$shared/go"'


@pytest.mark.parametrize("setting", ["core.fileMode false", "core.autocrlf true", "core.eol crlf"])
def test_how_files_are_committed_stays_as_it_was(host: Host, setting: str) -> None:
    ended = host.run(
        edit(f"git config {setting}; echo x > x; {LEFT}"),
        edit(f"{GO}; chmod +x src/app.py; printf 'a\\r\\n' > dos; ln -s dos link"),
    )

    commit = host.record(ended["job_id"])["commit"]
    listed = host.project.git("ls-tree", "-r", commit, "src/app.py", "link")
    assert [each[:6] for each in listed.splitlines()] == ["120000", "100755"]
    assert host.project.git("cat-file", "-s", f"{commit}:dos") == "3"
    assert host.record(ended["job_id"])["leaks"] == ["git config"]


@pytest.mark.parametrize(
    "how",
    [
        "git config merge.x.driver true; git config merge.default x",
        "echo '* merge=union' > $shared/info/attributes",
        "echo '* merge=union' > $shared/a; git config core.attributesFile $(realpath $shared/a)",
    ],
)
def test_nothing_is_merged_as_only_a_worker_wants_it(host: Host, how: str) -> None:
    ended = host.run(
        edit(f"echo 1 >> README.md; {LEFT}; {how}"), edit(f"{GO}; echo 2 >> README.md")
    )

    assert ended["status"] == "partial"
    assert "somebody changed how git merges files" in ended["reason"]
    record = host.record(ended["job_id"])
    assert (record["merged"], record["branch"]) == ([], "")
    assert "how files are merged" in record["leaks"]
    # Whoever has looked at it can have it so.
    again = host.site.call("POST", f"/jobs/{ended['job_id']}/merge", {})
    assert again.json()["merged"] == ["worker_1", "worker_2"]


def test_how_the_user_has_files_merged_counts(host: Host) -> None:
    host.project.commit({".gitattributes": "README.md merge=union\n"})
    host.project.git("config", "merge.other.driver", "true")

    ended = host.run(edit("echo 1 >> README.md"), edit("echo 2 >> README.md"))

    record = host.record(ended["job_id"])
    assert (ended["status"], record["conflicts"]) == ("completed", [])
    assert host.project.show(record["commit"], "README.md").split() == ["hello", "1", "2"]
