"""If a server is killed while a worker resolves its conflicts, the next server ends the job."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.zygote import Zygote
from tests.integration.site import ServerProcess
from tests.support.project import Project, agents, edit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: Seconds from the answer to ``merge --resolve worker`` to the kill: before, in, and after the
#: attempt, and during the merge of its result. By day only the first one.
INSTANTS = [
    pytest.param(instant, marks=pytest.mark.nightly if number % 6 else [])
    for number, instant in enumerate(sorted(random.Random(13).uniform(0.0, 3.0) for _ in range(6)))
]
RESOLVES = (
    "if grep -q '^<<<<<<<' a.txt; then sleep 0.5; "
    "sed -i -e '/^<<<<<<< /d' -e '/^=======$/d' -e '/^>>>>>>> /d' a.txt; "
    "else sed -i s/two/zwei/ a.txt; echo n > new; fi"
)
#: Rejects a state with conflict markers, after a short pause.
GATE = {"name": "marks", "run": "sleep 0.3; ! grep -q '^<<<<<<<' a.txt"}


@pytest.fixture
def server(tmp_path: Path, zygote: Zygote) -> Iterator[Callable[[], tuple[ServerProcess, Project]]]:
    made: list[ServerProcess] = []

    def make() -> tuple[ServerProcess, Project]:
        project = Project(tmp_path / "project").begin({"a.txt": "one\ntwo\nthree\n"})
        root = {"project_root": str(project.path)}
        changes = {"orchestrator": root, "agents": agents(tmp_path)}
        made.append(ServerProcess(tmp_path / "site", changes, zygote))
        made[0].start()
        return made[0], project

    yield make
    for site in made:
        site.stop()


@pytest.mark.parametrize("instant", INSTANTS)
def test_nothing_is_lost_or_doubled(
    server: Callable[[], tuple[ServerProcess, Project]], instant: float
) -> None:
    site, project = server()
    tasks = [edit("sed -i s/two/2/ a.txt"), edit(RESOLVES)]
    job = site.run("x", tasks, gates=[GATE])["job_id"]
    assert site.status(job)["status"] == "partial"
    response = site.call("POST", f"/jobs/{job}/merge", {"resolve": "worker"})
    assert response.status_code == 202, response.text

    time.sleep(instant)
    site.kill()
    site.start()

    ended = site.wait(job, 120)
    assert (ended["status"], ended["missing"]) == ("completed", []), ended["reason"]
    branch = f"orchestrator/{job}/result"
    lines = project.show(branch, "a.txt").split("\n")
    assert sorted(lines) == ["2", "one", "three", "zwei"]
    assert project.show(branch, "new") == "n"
    assert project.worktrees() == []
    assert {row["status"] for row in ended["results"]["tasks"]} == {"success"}
    assert project.show("main", "a.txt") == "one\ntwo\nthree"
