"""Creates the call of a user's own agent that prints one of the known output formats."""

from collections.abc import Mapping

from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    Ask,
    shell_environment,
    shell_files,
)


def call(ask: Ask) -> AgentCall:
    """Return the call of the user's agent.

    Optional keys of ``ask.more``: ``reader``, ``policies`` (more arguments for each policy), and
    ``model_option``.
    """
    policies: Mapping[str, list[str]] = ask.more.get("policies") or {}
    argv = [*ask.command, *policies.get(ask.policy, ())]
    option = str(ask.more.get("model_option") or "")
    if ask.model and option:
        argv += [option, ask.model]
    return AgentCall(
        argv=tuple(each.replace("{control}", str(ask.control)) for each in argv),
        reader=str(ask.more.get("reader") or "plain"),
        env=shell_environment(ask),
        files=shell_files(ask),
    )
