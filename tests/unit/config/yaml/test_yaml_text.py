"""Reading YAML text: errors that PyYAML does not turn into its own exceptions."""

import pytest

from orchestrator.config.yaml.yaml_text import Position, read_yaml


@pytest.mark.parametrize(
    ("text", "position"),
    [
        pytest.param('a: 1\nb: "\\U00110000"', Position(2, 7), id="character above the range"),
        pytest.param('a: "\\UFFFFFFFF"', Position(1, 7), id="character above a C integer"),
        pytest.param(f"%YAML {'9' * 5000}.1\n---\na: 1", Position(1, 7), id="long version"),
    ],
)
def test_a_number_that_is_too_large_is_a_fault_at_its_position(
    text: str, position: Position
) -> None:
    [(where, reason)] = read_yaml(text).faults

    assert where == position
    assert reason == "not valid YAML: a number in an escape sequence or a directive is too large"


def test_a_number_in_base_60_that_is_too_large_for_a_float_is_a_fault() -> None:
    result = read_yaml(f"a: 1{':59' * 200}.5\nb: 2")

    assert result.value == {"a": None, "b": 2}
    assert result.faults == [(Position(1, 4), "not a valid number")]
