"""The number of workers that wait for more machines."""

from orchestrator.core.model.machines import HERE, Machine
from tests.unit.core.factories import a_task
from tests.unit.core.story import Story

NOWHERE, ANY = Machine(name=HERE, slots=0), Machine(name="like", slots=1)


def a_story(*machines: Machine) -> Story:
    story = Story()
    story.machines = machines
    return story


def waiting(story: Story, like: Machine = ANY, most: int = 99) -> int:
    return story.scheduler.view.waiting_for_machines(story.now, most, like)


def test_workers_that_no_machine_has_room_for_are_counted() -> None:
    story = a_story(NOWHERE, Machine(name="n1", slots=1))
    assert waiting(story) == 0
    root = story.root(*(a_task(name) for name in "abcd"), max_workers=9)
    assert len(story.running) == 1
    assert (waiting(story), waiting(story, most=2)) == (3, 2)
    story.ends(story.running[0])
    assert waiting(story) == 2
    assert len(story.keys(root)) == 4


def test_a_limit_of_the_job_counts_because_more_machines_would_not_help() -> None:
    story = a_story(NOWHERE, Machine(name="n1", slots=1))
    story.root(*(a_task(name) for name in "abcd"), max_workers=2)
    assert waiting(story) == 1


def test_workers_that_such_a_machine_could_not_run_are_not_counted() -> None:
    story = a_story(NOWHERE, Machine(name="n1", slots=0))
    tasks = [a_task("a"), a_task("b", requires={"gpu": "true"}), a_task("c", node="n1")]
    story.root(*tasks, max_workers=9)
    assert waiting(story) == 1
    assert waiting(story, Machine(name="like", slots=1, labels={"gpu": "true"})) == 2
    assert waiting(story, Machine(name="like", slots=1, agents=frozenset())) == 0


def test_workers_of_a_paused_job_are_not_counted() -> None:
    story = a_story(NOWHERE)
    root = story.root(a_task("a"), max_workers=9)
    assert waiting(story) == 1
    story.pause(root)
    assert waiting(story) == 0
