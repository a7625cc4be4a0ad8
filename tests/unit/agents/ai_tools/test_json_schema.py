"""The schema of plans in the form that services accept."""

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.agents.driven_agent import strict_schema
from orchestrator.schemas.agent_output.plan import Plan, plan_schema


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object schema within a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for each in schema.values():
            yield from objects(each)
    for each in schema if isinstance(schema, list) else ():
        yield from objects(each)


def test_every_object_has_all_its_properties_and_no_others() -> None:
    found = list(objects(strict_schema(plan_schema())))

    assert len(found) == 2
    for each in found:
        assert each["required"] == list(each["properties"])
        assert each["additionalProperties"] is False


def test_keywords_that_services_do_not_know_are_omitted() -> None:
    text = json.dumps(strict_schema(plan_schema()))

    for word in ("$schema", "$defs", "$ref", "default", "maxLength", "maxItems", "minItems"):
        assert f'"{word}"' not in text


def test_an_answer_that_the_schema_accepts_is_a_plan() -> None:
    task = {"id": "a", "title": "A", "prompt": "Do a", "depends_on": []}
    Plan.model_validate({"tasks": [{**task, "role": None, "files": [], "gates": [], "locks": []}]})
