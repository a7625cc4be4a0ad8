"""Creates the call of a custom agent: a user's own program that prints a supported format."""

from collections.abc import Mapping

from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    CallInputs,
    shell_environment,
    shell_files,
)


def call(inputs: CallInputs) -> AgentCall:
    """Return the call of the user's agent.

    Optional keys of ``inputs.more``: ``reader``, ``policies`` (additional arguments by policy), and
    ``model_option`` (the option before the model's name).
    """
    policies: Mapping[str, list[str]] = inputs.more.get("policies") or {}
    argv = [*inputs.command, *policies.get(inputs.policy, ())]
    option = str(inputs.more.get("model_option") or "")
    if inputs.model and option:
        argv += [option, inputs.model]
    return AgentCall(
        argv=tuple(each.replace("{control}", str(inputs.control)) for each in argv),
        reader=str(inputs.more.get("reader") or "plain"),
        env=shell_environment(inputs),
        files=shell_files(inputs),
    )
