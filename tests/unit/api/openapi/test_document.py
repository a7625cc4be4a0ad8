"""The OpenAPI document is complete and consistent, and describes the real answers."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel

from orchestrator.api.http_messages.problems import limit_fields
from orchestrator.api.openapi.document import document
from orchestrator.api.openapi.operations import OPERATIONS, Operation
from orchestrator.core.model.states import JobStatus
from orchestrator.core.model.submission import Submission
from orchestrator.schemas.answers import answer, job_list, server, status
from orchestrator.schemas.answers import job as job_answers
from orchestrator.schemas.requests import job as requests
from tests.unit.api.fake_service import KEY, FakeService

#: Fields of nodes in which null means "unknown".
NULLS_OF_NODES = ("memory_bytes", "disk_bytes", "own_files", "seen_seconds")
VENDOR = Path(__file__).parents[4] / "orchestrator" / "api" / "static" / "vendor"


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document())
    return found


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    ]


def nodes(value: object) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [node for item in value for node in nodes(item)]
    if not isinstance(value, dict):
        return []
    return [value, *(node for item in value.values() for node in nodes(item))]


def test_the_document_names_every_route_and_no_other(app: Flask, spec: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in ("static", "pages.get_page_at", "pages.get_asset")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(spec)} == routes


def test_the_document_is_openapi_3_1(spec: dict[str, Any]) -> None:
    assert spec["openapi"] == "3.1.0"
    assert spec["info"]["title"] and spec["info"]["version"]
    assert {"key", "bearer"} == set(spec["components"]["securitySchemes"])


def test_every_reference_leads_somewhere(spec: dict[str, Any]) -> None:
    for node in nodes(spec):
        reference = node.get("$ref")
        if isinstance(reference, str):
            target: Any = spec
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]
            assert target


def test_every_operation_is_complete(spec: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for path, _, operation in operations(spec):
        declared = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        expected = {"400", "403", "404", "405", "413", "422", "431", "500", "503"}
        if operation.get("security") != []:
            expected |= {"401", "429"}
        if "requestBody" in operation:
            expected |= {"415"}
        assert expected <= set(operation["responses"])
        for link in nodes(operation["responses"]):
            if "operationId" in link:
                assert link["operationId"] in ids


def test_the_document_has_no_extensions_or_outdated_keywords(spec: dict[str, Any]) -> None:
    for node in nodes(spec):
        assert not [key for key in node if key.startswith("x-") or key in ("nullable", "optional")]


def test_the_description_has_the_scopes_and_the_errors_of_every_call(spec: dict[str, Any]) -> None:
    text = spec["info"]["description"]
    for each in ("X-API-Key", "`read`", "`submit`", "`admin`", "401", "429"):
        assert each in text


def test_no_description_names_a_constant_of_the_code(spec: dict[str, Any]) -> None:
    texts = [str(node.get("description", "")) for node in nodes(spec)]
    assert [text for text in texts if re.search(r"\{_?[A-Z_]+\}", text)] == []


def test_only_health_and_pages_need_no_key(anonymous: FlaskClient, spec: dict[str, Any]) -> None:
    for path, method, operation in operations(spec):
        filled = re.sub(r"{\w+}", "x", path)
        status = anonymous.open(filled, method=method.upper()).status_code
        assert (status == 401) == (operation.get("security") != []), path


def as_sent(model: type[BaseModel], value: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check that an answer has all required fields of its schema, and no unknown field."""
    assert set(schema.get("required", ())) <= set(value)
    assert set(value) <= set(schema["properties"])
    model.model_validate(value)
    for alias, name in aliases(schema):
        assert value.get(alias) == value.get(name)


def aliases(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for alias, field in schema.get("properties", {}).items():
        if found := re.match(r"Alias of (\w+)[.;]", field.get("description", "")):
            yield alias, found[1]


def test_an_alias_has_the_shape_of_the_field_with_the_standard_name(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]
    found = {(name, *pair) for name, schema in schemas.items() for pair in aliases(schema)}

    assert ("StatusAnswer", "left", "remaining") in found
    assert ("ConflictsAnswer", "left_out", "unmerged") in found
    assert ("ConflictsAnswer", "leaks", "checkout_changes") in found
    assert ("AgentAnswer", "mend", "fix") in found
    assert ("MergeRequest", "take", "include") in found
    for schema, alias, name in found:
        pair = [schemas[schema]["properties"][each] for each in (alias, name)]
        shapes = [{**each, "description": "", "title": ""} for each in pair]
        assert shapes[0] == shapes[1]
        required = schemas[schema].get("required", ())
        assert (alias in required) == (name in required)


def test_answers_fit_their_schemas(
    client: FlaskClient, service: FakeService, spec: dict[str, Any]
) -> None:
    job = service.submissions.submit(service.callers.of_key(KEY), Submission(request="x")).job
    service.finish(service.workers_of(job)[0])
    service.end(job, JobStatus.COMPLETED)
    for path, model in {
        f"/api/v1/jobs/{job.id}": job_answers.JobAnswer,
        f"/api/v1/jobs/{job.id}/status": status.StatusAnswer,
        f"/api/v1/jobs/{job.id}/results": status.Results,
        f"/api/v1/jobs/{job.id}/tree": job_answers.TreeAnswer,
        f"/api/v1/jobs/{job.id}/wait": status.WaitAnswer,
        "/api/v1/jobs": job_list.JobsAnswer,
        "/health": server.HealthAnswer,
    }.items():
        found = client.get(path)
        as_sent(model, found.json or {}, spec["components"]["schemas"][model.__name__])
        documented = spec["paths"][path.replace(job.id, "{job_id}")]["get"]["responses"]
        assert ("ETag" in found.headers) == ("304" in documented), path
    missing = json.loads(client.get("/api/v1/jobs/none").text)
    as_sent(answer.Problem, missing, spec["components"]["schemas"]["Problem"])


def test_fields_that_answers_omit_without_a_value_are_not_required(spec: dict[str, Any]) -> None:
    assert spec["components"], "a class of answers is not imported"
    required = {
        f"{each.__name__}.{name}"
        for each in answer_classes(answer.Answer)
        for name, field in each.model_fields.items()
        if field.is_required() and NoneType in get_args(field.annotation)
    }
    # Answers with null values.
    assert required == {
        "ColumnsJob.parent_worker",
        *(f"NodeAnswer.{name}" for name in NULLS_OF_NODES),
    }


def test_problems_may_have_null_as_the_time_of_free_quota(spec: dict[str, Any]) -> None:
    problem = spec["components"]["schemas"]["Problem"]

    # The fields that ``limit_fields`` always sets.
    for name in limit_fields("limits.max_depth", None, None, None).keys() - {"limit"}:
        assert {"type": "null"} in problem["properties"][name]["anyOf"]
        assert name not in problem["required"]


def answer_classes(base: type[answer.Answer]) -> Iterator[type[answer.Answer]]:
    for each in base.__subclasses__():
        yield each
        yield from answer_classes(each)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_body_has_examples_that_are_right(operation: Operation) -> None:
    """A body is required if one of its fields is."""
    if operation.body is None or operation.body is requests.EmptyRequest:
        return
    assert operation.examples
    for example in operation.examples.values():
        operation.body.model_validate(example)
    needed = [name for name, each in operation.body.model_fields.items() if each.is_required()]
    assert operation.body_required or not needed


def test_a_job_can_be_submitted_as_in_the_examples(
    client: FlaskClient, spec: dict[str, Any]
) -> None:
    [body] = spec["paths"]["/api/v1/orchestrate"]["post"]["requestBody"]["content"].values()
    for example in body["examples"].values():
        assert client.post("/api/v1/orchestrate", json=example["value"]).status_code == 202


def test_requests_have_the_fields_of_the_contract(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]
    assert schemas["OrchestrateRequest"]["required"] == ["request"]
    assert schemas["OrchestrateRequest"]["additionalProperties"] is False
    fields = set(schemas["OrchestrateRequest"]["properties"])
    callbacks = {"callback_url", "callback_events"}
    assert fields == {"request", "config", "tasks", "workdir", *callbacks}
    assert schemas["Plan"]["required"] == ["tasks"]
    assert schemas["PlannedTask"]["additionalProperties"] is False
    task = set(schemas["TaskRequest"]["properties"])
    assert {"id", "title", "prompt", "command", "agent", "depends_on", "gates", "locks"} <= task


def test_the_document_is_served(anonymous: FlaskClient, spec: dict[str, Any]) -> None:
    assert anonymous.get("/openapi.json").json == spec


def test_vendored_files_are_those_that_were_recorded() -> None:
    recorded = json.loads((VENDOR / "VENDORED.json").read_text())
    files = {name: one["sha256"] for entry in recorded for name, one in entry["files"].items()}
    present = {path.name for path in VENDOR.iterdir()} - {"VENDORED.json"}
    assert present == set(files)
    for name, digest in files.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
