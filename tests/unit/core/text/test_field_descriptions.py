from typing import Literal

from pydantic import BaseModel, Field

from orchestrator.core.text.field_descriptions import DescribedFields


class Parent(DescribedFields, BaseModel):
    first: int
    """Set by the
    parent."""
    second: int
    third: int = Field(default=3, description="Set explicitly.")
    """Not used."""


class Child(Parent):
    """A model."""

    second: int = Field(alias="2nd")
    """Set by the child."""
    kind: Literal["x"] = "x"


class Holder(DescribedFields, BaseModel):
    same: Child
    """A model."""
    other: Child
    """Another text."""


def test_a_schema_contains_the_strings_below_the_fields() -> None:
    fields = Child.model_json_schema()["properties"]

    assert {name: field.get("description") for name, field in fields.items()} == {
        "first": "Set by the\nparent.",
        "2nd": "Set by the child.",
        "third": "Set explicitly.",
        "kind": None,
    }
    assert "description" not in Parent.model_json_schema()["properties"]["second"]


def test_a_reference_does_not_repeat_the_description_of_its_model() -> None:
    fields = Holder.model_json_schema()["properties"]

    assert "description" not in fields["same"]
    assert fields["other"]["description"] == "Another text."
