"""A worker's current checkpoint, if several checkpoints have the same content."""

from collections.abc import Sequence

import pytest

from orchestrator.core.model.attempt.failure import Rollback
from orchestrator.engine.service.checkpoints import current_of


def rollback_to(checkpoint: str, attempt: int) -> Rollback:
    return Rollback(
        at=0.0, by="", attempt=attempt, checkpoint=checkpoint, commit="", kept=f"{attempt}-left-1"
    )


ONE = ["start", "1-before", "1-after"]
TWO = [*ONE, "2-before", "2-after"]


@pytest.mark.parametrize(
    ("names", "same", "rollbacks", "current"),
    [
        (["start", "1-before"], ["start", "1-before"], [], "1-before"),
        (ONE, ONE, [], "1-after"),
        ([*ONE, "2-before"], ["1-after", "2-before"], [], "2-before"),
        (TWO, TWO, [], "2-after"),
        (TWO, ["start"], [], "start"),
        (TWO, [], [], ""),
        ([*ONE, "1-left-1"], ["start", "1-before"], [rollback_to("1-before", 1)], "1-before"),
        ([*ONE, "1-left-1"], ["start", "1-before"], [rollback_to("start", 1)], "start"),
        ([*ONE, "1-left-1"], ["1-after", "1-left-1"], [], "1-after"),
        ([*TWO, "2-left-1"], ["1-after", "2-before"], [rollback_to("1-after", 2)], "1-after"),
        ([*TWO, "2-left-1"], ["1-after", "2-before"], [rollback_to("2-before", 2)], "2-before"),
        ([*TWO, "2-left-1"], ["2-after", "2-left-1"], [rollback_to("2-left-1", 2)], "2-left-1"),
        # The attempt after a rollback has changed nothing.
        (
            [*TWO, "1-left-1"],
            ["1-before", "2-before", "2-after"],
            [rollback_to("1-before", 1)],
            "2-after",
        ),
        # A person has moved the branch since then.
        ([*ONE, "1-left-1"], ["1-after"], [rollback_to("1-before", 1)], "1-after"),
    ],
)
def test_the_current_checkpoint_is_the_last_that_the_worker_reached(
    names: Sequence[str], same: Sequence[str], rollbacks: Sequence[Rollback], current: str
) -> None:
    assert current_of(names, same, rollbacks) == current
