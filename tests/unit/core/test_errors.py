"""The first line of an error's docstring is its title for users."""

import pytest

from orchestrator.core import errors

KINDS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.OrchestratorError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_title_names_no_attribute_of_the_error(kind: type[errors.OrchestratorError]) -> None:
    title = errors.summary_of(kind)

    assert title.endswith(".") and "`" not in title


def test_an_error_without_a_message_has_its_title() -> None:
    assert errors.Forbidden().message == "The API key does not have the scope for the action."
