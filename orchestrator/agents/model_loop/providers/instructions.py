"""A loop's instructions to the model."""

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings

#: Instructions to the model. All workers with the same policy get the same text, so that providers
#: can cache the text.
_HOW = """\
You are an agent that works through a task with tools, without a person to ask.
All paths are relative to the working directory{confined}.
Continue until the task is done: read before you change, check afterwards.
Call several tools at once if they do not depend on each other.
When you are done, answer without calling a tool: state in a few lines what you did, what you \
found, and what remains. That last answer is your result."""

_POLICY = {
    "full": "",
    "edit": (
        "; nothing outside of this directory can be read or written, and commands cannot be run"
    ),
    "read-only": (
        "; nothing outside of this directory can be read, and nothing can be written or run"
    ),
}

CUT = (
    "Your answer was cut off: it had more than {most} tokens. Its tool calls were not run."
    " Continue in smaller steps."
)
EMPTY = "Your answer was empty. Continue the task, or state its result in a few lines."
NOT_RUN = "this tool call was not run: the answer that contains it was cut off"
_ONLY_JSON = (
    "Answer with one JSON value and nothing else: no words around it, no code fence."
    " It must fit this JSON schema:\n{schema}"
)


def system(settings: LoopSettings) -> str:
    instructions = _HOW.format(confined=_POLICY[settings.policy])
    return f"{instructions}\n\n{settings.system}" if settings.system else instructions


def only_json(schema: Mapping[str, Any]) -> str:
    # The prompt always contains the schema, because some servers accept a schema and ignore it.
    return _ONLY_JSON.format(schema=json.dumps(dict(schema)))
