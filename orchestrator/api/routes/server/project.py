"""Calls about the server itself: its project, the user's other servers, its keys by name."""

from flask import Blueprint, Response, current_app

from orchestrator import __version__
from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.options import ApiOptions
from orchestrator.api.routes.response import json_answer
from orchestrator.schemas.answers.session import (
    KeyAnswer,
    KeysAnswer,
    OtherServerAnswer,
    ServerAnswer,
)
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("server", __name__)
blueprint.before_request(authenticate)


@blueprint.get("/api/v1/server")
def get_server() -> Response:
    request.query(NoQuery)
    service().check_person(caller())
    options: ApiOptions = current_app.extensions["orchestrator.options"]
    found = options.other_servers()
    others = [OtherServerAnswer(url=each.url, project=each.project) for each in found]
    return json_answer(ServerAnswer(version=__version__, project=options.project, servers=others))


@blueprint.get("/api/v1/keys")
def list_keys() -> Response:
    request.query(NoQuery)
    found = service().keys(caller())
    keys = [KeyAnswer(name=each.name, scopes=sorted(each.scopes)) for each in found]
    return json_answer(KeysAnswer(keys=keys))
