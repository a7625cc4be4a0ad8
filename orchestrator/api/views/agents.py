"""Which agents there are, and whether they can work here."""

from flask import Blueprint, Response

from orchestrator.api import reading
from orchestrator.api.answering import json_answer
from orchestrator.api.auth import authenticate, service
from orchestrator.schemas.answers import AgentAnswer, AgentsAnswer
from orchestrator.schemas.queries import NoQuery

blueprint = Blueprint("agents", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/agents")
def get_agents() -> Response:
    reading.query(NoQuery)
    agents = [
        AgentAnswer(
            name=each.name,
            description=each.description,
            usable=each.usable,
            installed=each.installed,
            path=each.path or None,
            version=each.version or None,
            authenticated=each.authenticated,
            login=each.login,
            login_refused=each.login_refused or None,
            credential=each.credential or None,
            mend=list(each.mend),
        )
        for each in service().agents()
    ]
    return json_answer(AgentsAnswer(agents=agents))
