"""Steps in the saved output of an agent."""

import json

from orchestrator.agents.activity.transcript import steps_of
from orchestrator.agents.ai_tools.readers import reader
from orchestrator.core.ports.read_models import StepKind

LINES = [
    {"type": "system", "subtype": "init", "session_id": "s"},
    {
        "type": "assistant",
        "message": {
            "id": "m",
            "content": [
                {"type": "text", "text": "I look at it."},
                {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
    },
    {"type": "result", "subtype": "success", "result": "All done.", "is_error": False},
]


def test_texts_and_tools_of_an_agent_keep_their_order() -> None:
    lines = ["no json", *map(json.dumps, LINES)]

    steps = list(steps_of(reader("claude"), lines, ended=True))

    assert [(step.kind, step.tool) for step in steps] == [
        (StepKind.SAID, ""),
        (StepKind.TOOL, "Bash"),
        (StepKind.RESULT, ""),
    ]
    assert "ls" in steps[1].text
    assert steps[2].text == "All done."


def test_an_agent_that_works_has_no_result_yet() -> None:
    lines = [json.dumps(line) for line in LINES[:2]]

    found = list(steps_of(reader("claude"), lines, ended=False))

    assert [step.kind for step in found] == [StepKind.SAID, StepKind.TOOL]
