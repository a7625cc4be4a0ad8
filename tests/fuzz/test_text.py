"""Arbitrary text that is read as a plan, put into templates, or masked."""

import json
from itertools import pairwise
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.prompts.prompt import prompt_document, task_document
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.ports import Assignment, DependencyResult
from orchestrator.schemas.requests.job import OrchestrateRequest
from orchestrator.schemas.requests.plan_validation import parse_plan
from orchestrator.security.secrets.masking import Masker
from tests.unit.core.factories import a_job, a_worker

ENV = "the value of a task's variable"
NAMES = st.sampled_from(
    ["request", "tasks", "config", "id", "title", "command", "agent", "env", "depends_on", "labels"]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
MARKUP = st.lists(
    st.sampled_from(
        ["{{ 7*7 }}", "{% for x in y %}", "{%- raw %}", "{#", "#}", "}}", "%}", "${x}", "\x1b[2J"]
    )
    | st.text(max_size=10),
    max_size=6,
).map("".join)


def read(text: str, source: str) -> OrchestrateRequest | None:
    try:
        return parse_plan(text, source)
    except InvalidRequest as error:
        assert error.message.startswith(source)
        return None


@given(st.text(max_size=300), st.sampled_from(["plan.yaml", "plan.json"]))
def test_any_text_is_a_plan_or_refused(text: str, source: str) -> None:
    read(text, source)


@given(VALUES)
def test_any_value_is_a_plan_or_refused(value: object) -> None:
    as_yaml = read(yaml.safe_dump(value, allow_unicode=True), "plan.yaml")
    as_json = read(json.dumps(value), "plan.json")
    assert as_json is None or as_json.request
    assert as_yaml is None or as_yaml.request


@pytest.mark.parametrize("depth", [2, 100, 5000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", '{"a":'])
def test_a_deep_plan_is_refused(opening: str, depth: int) -> None:
    assert read(opening * depth, "plan.yaml") is None
    assert read(opening * depth, "plan.json") is None


@given(MARKUP, MARKUP, MARKUP)
def test_text_in_a_prompt_is_never_a_template(task: str, request: str, output: str) -> None:
    assignment = Assignment(
        job=a_job(request=request),
        worker=a_worker(),
        task=TaskSpec(
            id="a", title="t", prompt=task, context=output, files=(output,), env={"MY_KEY": ENV}
        ),
        dependency_results={
            "b": DependencyResult(worker_id="worker_2", directory="/d", output=output)
        },
        previous_failure=output,
    )
    prompt = prompt_document(assignment)

    assert request in prompt
    assert (task or "t") in prompt
    assert prompt.count(output) >= 4
    assert json.loads(task_document(assignment))["prompt"] == task
    assert ENV not in prompt + task_document(assignment)


@given(
    st.text(alphabet=st.characters(codec="utf-8"), min_size=6, max_size=40),
    st.sampled_from(["plain", "json", "url"]),
    st.lists(st.integers(min_value=0, max_value=200), max_size=8),
)
def test_an_encoded_secret_is_masked_wherever_it_is_cut(
    secret: str, encoding: str, cuts: list[int]
) -> None:
    written = {
        "plain": secret,
        "json": json.dumps(secret)[1:-1],
        "url": quote(secret, safe=""),
    }[encoding].encode()
    stream = b"before " + written + b" after"
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    masker = Masker([secret])
    seen = b""
    for start, end in pairwise(places):
        seen += masker.feed(stream[start:end])
        assert written not in seen
        if (end - start) % 2:
            seen += masker.release()
    seen += masker.finish()

    assert written not in seen
    assert seen.startswith(b"before ") or secret.startswith("before "[: len(secret)])
