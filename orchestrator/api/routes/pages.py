"""Calls that need no key: the dashboard, the docs, and the OpenAPI document."""

from http import HTTPStatus

from flask import Blueprint, Response, current_app, jsonify, request, send_from_directory
from werkzeug.exceptions import NotFound

from orchestrator import __version__
from orchestrator.api.access.authentication import session_cookie
from orchestrator.api.http_messages import assets
from orchestrator.api.http_messages.headers import JSON
from orchestrator.api.http_messages.problems import response_of

blueprint = Blueprint("pages", __name__)

#: Content security policy of the dashboard's page. Its Trusted Types rules make the browser reject
#: text that a script inserts as markup.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
#: Content security policy of /docs. It allows inline styles and ``data:`` images, because Swagger
#: UI sets styles in its script, and loads its icons from ``data:`` addresses.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

#: Beginnings of paths at which a browser, too, gets a problem object, not a page.
_NO_PAGES = ("/api/", "/static/")


#: The most important paths, for a program that asks for ``/``.
ENDPOINTS = {
    "jobs": "/api/v1/jobs",
    "orchestrate": "/api/v1/orchestrate",
    "tasks": "/api/v1/tasks",
    "health": "/health",
    "docs": "/docs",
    "openapi": "/openapi.json",
}


@blueprint.get("/")
def get_page() -> Response:
    # A program that accepts only JSON gets a description of the server.
    media_type = request.accept_mimetypes.best_match(["text/html", JSON])
    if media_type == JSON:
        values = {"name": "orchestrator", "version": __version__, "api_version": "v1"}
        response = jsonify({**values, "endpoints": ENDPOINTS})
    else:
        response = _dashboard()
    response.vary.add("Accept")
    return response


@blueprint.get("/login")
@blueprint.get("/new")
@blueprint.get("/costs")
@blueprint.get("/agents")
@blueprint.get("/jobs", strict_slashes=False)
@blueprint.get("/jobs/<path:place>")
def get_page_at(place: str = "") -> Response:
    # The page's script reads the address, such as ``/jobs/ID``.
    return _dashboard()


@blueprint.app_errorhandler(NotFound)
def get_page_at_unknown_path(error: NotFound) -> Response:
    # A browser names text/html in its Accept header, and gets a page. A program that accepts
    # everything (``*/*``) gets a problem object.
    accepts_page = "text/html" in request.accept_mimetypes.values()
    if not accepts_page or request.path.startswith(_NO_PAGES):
        return response_of(error)
    response = _dashboard()
    response.status_code = HTTPStatus.NOT_FOUND
    response.vary.add("Accept")
    return response


@blueprint.get("/static/v/<version>/<path:name>")
def get_asset(version: str, name: str) -> Response:
    current = assets.version()
    if name in assets.TYPES:
        response = Response(assets.joined(current, name), mimetype=assets.TYPES[name])
        response.set_etag(f"{name} {current}")
        response.make_conditional(request)
    else:
        response = send_from_directory(assets.STATIC, name)
    # Browsers may cache only a file of the current version.
    is_current = version == current
    caching = f"public, max-age={assets.CACHE_SECONDS}, immutable" if is_current else "no-cache"
    response.headers["Cache-Control"] = caching
    return response


@blueprint.get("/docs")
def get_docs() -> Response:
    response = send_from_directory(assets.STATIC, "docs.html")
    return _with_policy(response, DOCS_POLICY)


@blueprint.get("/openapi.json")
def get_openapi() -> Response:
    document: bytes = current_app.extensions["orchestrator.openapi"]()
    return Response(document, mimetype=JSON, headers={"Cache-Control": "no-cache"})


def _dashboard() -> Response:
    text = assets.page(assets.version(), has_session=session_cookie(request) is not None)
    response = _with_policy(Response(text, mimetype="text/html"), PAGE_POLICY)
    response.vary.add("Cookie")
    return response


def _with_policy(response: Response, policy: str) -> Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["Cache-Control"] = "no-cache"
    return response
