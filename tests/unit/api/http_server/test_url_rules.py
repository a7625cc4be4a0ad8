"""Paths of calls, built from their rules."""

from unittest.mock import patch

from flask import Flask, url_for
from werkzeug.routing import Rule

from orchestrator.api.http_server.app import LazyRule


def test_a_path_is_built_from_its_rule(shared_app: Flask) -> None:
    rules = list(shared_app.url_map.iter_rules())
    own = [each for each in rules if each.endpoint != "static"]
    assert len(own) > 50 and all(isinstance(each, LazyRule) for each in own)
    one = next(each for each in rules if each.rule == "/api/v1/jobs/<job_id>/status")
    with shared_app.test_request_context():
        assert url_for(one.endpoint, job_id="a b") == "/api/v1/jobs/a%20b/status"
        assert url_for(one.endpoint, job_id="a", more=1) == "/api/v1/jobs/a/status?more=1"


def test_no_function_is_compiled_before_a_path_is_built() -> None:
    app = Flask("test", static_folder=None)
    app.url_rule_class = LazyRule
    with patch.object(Rule, "_compile_builder", side_effect=AssertionError):
        app.add_url_rule("/a/<b>", "c", lambda b: b)
        assert app.test_client().get("/a/b").text == "b"
