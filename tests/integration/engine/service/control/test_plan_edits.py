"""Editing a plan that waits for approval changes neither the job nor the planner's cost."""

from tests.integration.conftest import MakeServer
from tests.integration.site import Answer, InProcess, shell


def waiting(site: InProcess) -> str:
    tasks: list[Answer] = [shell("echo a", id="a", env={"WORD": "kept"}), shell("false", id="b")]
    return site.submit("x", tasks, approve=True)


def test_a_plan_is_read_edited_and_approved(site: InProcess) -> None:
    job = waiting(site)
    plan = site.get(f"/jobs/{job}/plan")
    assert (plan["version"], plan["awaits_approval"]) == (1, True)
    assert plan["tasks"][0] == {"id": "a", "command": "echo a", "agent": "shell"}
    plan["tasks"][0]["command"] = 'echo "$WORD"'
    plan["tasks"][1:] = [{"id": "ok", "approve": "Go on?", "depends_on": ["a"]}]

    put = site.call("PUT", f"/jobs/{job}/plan", {"tasks": plan["tasks"], "version": 1})

    assert put.status_code == 200, put.text
    assert put.json()["version"] == 2
    again = site.call("PUT", f"/jobs/{job}/plan", {"tasks": plan["tasks"], "version": 1})
    assert (again.status_code, again.json()) == (200, put.json()), (
        "the answer to the edit may be lost"
    )
    other = site.call("PUT", f"/jobs/{job}/plan", {"tasks": plan["tasks"][:1], "version": 1})
    assert (other.status_code, other.json()["version"]) == (409, 2)
    assert other.json()["type"].endswith("outdated")
    assert [each["worker_id"] for each in site.get(f"/jobs/{job}")["workers"]] == [
        "worker_1",
        "worker_2",
    ]
    old = site.call("POST", f"/jobs/{job}/approve", {"version": 1})
    assert (old.status_code, old.json()["version"]) == (409, 2)
    assert old.json()["type"].endswith("outdated")
    assert site.get(f"/jobs/{job}/plan")["awaits_approval"]
    body = {"comment": "go", "version": 2}
    assert site.call("POST", f"/jobs/{job}/approve", body).status_code == 202
    assert site.call("POST", f"/jobs/{job}/approve", body).status_code == 202
    assert site.call("POST", f"/jobs/{job}/approve").status_code == 409
    assert site.call("POST", f"/jobs/{job}/reject", {"comment": "go"}).status_code == 409
    while site.call("POST", f"/jobs/{job}/tasks/ok/approve").status_code == 409:
        pass
    ended = site.wait(job)
    assert ended["status"] == "completed"
    assert site.call("POST", f"/jobs/{job}/tasks/ok/approve").status_code == 202
    assert site.call("POST", f"/jobs/{job}/tasks/ok/reject").status_code == 409
    assert site.log(job, "worker_1") == "kept\n"
    late = site.call("PUT", f"/jobs/{job}/plan", {"tasks": plan["tasks"], "version": 2})
    assert late.status_code == 409


def test_a_wrong_plan_changes_nothing(site: InProcess) -> None:
    job = waiting(site)
    for tasks in (
        [],
        [{"id": "a", "command": "true"}, {"id": "a", "command": "true"}],
        [{"id": "a", "command": "true", "depends_on": ["b"]}],
        [
            {"id": "a", "command": "true", "depends_on": ["b"]},
            {"id": "b", "command": "true", "depends_on": ["a"]},
        ],
        [{"id": "a", "prompt": "x", "agent": "nobody"}],
        [{"id": "a", "command": "true", "git": "on"}],
    ):
        answer = site.call("PUT", f"/jobs/{job}/plan", {"tasks": tasks, "version": 1})
        assert answer.status_code == 422, answer.text
    plan = site.get(f"/jobs/{job}/plan")
    assert (plan["version"], len(plan["tasks"])) == (1, 2)
    site.call("POST", f"/jobs/{job}/reject")
    site.wait(job)
    assert site.call("POST", f"/jobs/{job}/reject").status_code == 202


def test_an_edited_plan_outlives_a_server_that_is_killed(make_server: MakeServer) -> None:
    server = make_server()
    job = server.submit("x", [shell("false", id="a"), shell("false", id="b")], approve=True)
    tasks = [shell("true", id="only")]
    server.call("PUT", f"/jobs/{job}/plan", {"tasks": tasks, "version": 1})

    server.kill()
    server.start()

    server.call("POST", f"/jobs/{job}/approve")
    ended = server.wait(job)
    assert ended["status"] == "completed"
    assert [row["task_id"] for row in ended["results"]["tasks"]] == ["only"]
    assert [row["task_id"] for row in server.status_file(job)["results"]["tasks"]] == ["only"]
