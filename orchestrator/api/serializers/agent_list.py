"""The list of agents with their availability, as an answer."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.ports.agent_availability import Availability
from orchestrator.schemas import answers


def agents_answer(agents: Iterable[Availability]) -> answers.server.AgentsAnswer:
    return answers.server.AgentsAnswer(
        agents=[
            answers.server.AgentAnswer(
                name=each.name,
                description=each.description,
                usable=each.usable,
                nodes=list(each.nodes),
                installed=each.installed,
                path=each.path or None,
                version=each.version or None,
                authenticated=each.authenticated,
                login=each.login,
                login_refused=each.login_refused or None,
                credential=each.credential or None,
                fix=list(each.fix),
                mend=list(each.fix),
                inherit=list(each.inherit),
            )
            for each in agents
        ]
    )
