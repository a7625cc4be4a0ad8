"""The schemas of requests and answers, for the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from orchestrator.api.openapi.operations import OPERATIONS
from orchestrator.core.events import EventKind
from orchestrator.schemas.agent_output.plan import Plan
from orchestrator.schemas.answers.answer import AS_NULL, EventAnswer, Problem
from orchestrator.schemas.fields.bounded_types import StrictModel
from orchestrator.schemas.requests_with_answers.tasks_api import CompleteAnswer

Schema = dict[str, Any]

REF = "#/components/schemas/{model}"


def model_schemas() -> tuple[Schema, dict[type[BaseModel], str]]:
    """Return two mappings: from name to schema, and from model to the name of its schema."""
    inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (operation.body, "validation") for operation in OPERATIONS if operation.body
    ]
    outputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "serialization")
        for operation in OPERATIONS
        for model in operation.answers.values()
        if isinstance(model, type)
    ]
    extra: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (Problem, "serialization"),
        (EventAnswer, "serialization"),
        # The shape in which a planning agent answers. No call of the API accepts this shape.
        (Plan, "validation"),
    ]
    references, definitions = models_json_schema(
        list(dict.fromkeys([*inputs, *outputs, *extra])), ref_template=REF
    )
    names: dict[Any, str] = {
        model: ref["$ref"].rsplit("/", 1)[1] for (model, _), ref in references.items()
    }
    with_nulls = {
        kind.__name__ for base in (StrictModel, CompleteAnswer) for kind in _subclasses_of(base)
    }
    schemas = {
        name: schema if name in with_nulls else without_nulls(schema)
        for name, schema in definitions["$defs"].items()
    }
    schemas["EventData"] = {
        "description": "The data of an event, by the event's kind.",
        "anyOf": [_data_of(kind) for kind in EventKind],
    }
    schemas["EventAnswer"]["properties"]["data"] = reference("EventData")
    return _answers_as_sent(schemas), names


def _data_of(kind: EventKind) -> Schema:
    return {
        "title": kind,
        "description": kind.meaning,
        "type": "object",
        "properties": {
            key.name: {**TypeAdapter[Any](key.type).json_schema(), "description": key.meaning}
            for key in kind.keys
        },
        "required": [key.name for key in kind.keys if key.always],
    }


def _subclasses_of(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses_of(each)


def _answers_as_sent(schemas: Schema) -> Schema:
    # Answers may omit fields with a default; pydantic declares these fields as required.
    for schema in schemas.values():
        fields = schema.get("properties", {})
        required = [name for name in schema.get("required", ()) if not fields[name].get("optional")]
        for field in fields.values():
            field.pop("optional", None)
        if required:
            schema["required"] = required
        else:
            schema.pop("required", None)
    return schemas


def without_nulls(schema: Any) -> Any:
    """Return ``schema``, which describes an answer, without its null types.

    In answers, only fields marked with ``AS_NULL`` can be null. Other fields without a value are
    omitted.
    """
    if isinstance(schema, list):
        return [without_nulls(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: without_nulls(value) for key, value in schema.items()}
    if plain.get("default", ...) is None:
        del plain["default"]
        if plain.pop(AS_NULL, False):
            return {**plain, "optional": True}
        if plain.get("anyOf", [])[-1:] == [{"type": "null"}] and len(plain["anyOf"]) == 2:
            first = plain.pop("anyOf")[0]
            plain = {**first, **plain, "optional": True}
    return plain


def reference(name: str) -> Schema:
    return {"$ref": REF.format(model=name)}
