"""A stub model API on loopback: scripts decide the answers and failures for each prompt.

It serves Anthropic Messages, OpenAI Responses, chat completions, Gemini, and Ollama, as JSON and as
streams. ``scripts`` defines scripts, and ``server`` serves them::

    with ModelApi({"hello": Script.of(Turn("hi"))}) as api:
        ...  # point an agent at api.url, with a prompt that contains [[script:hello]]
        assert api.requests[0].script == "hello"
"""

from tests.agents.model_api.scripts import Call, Fault, Kind, Script, Tokens, Turn
from tests.agents.model_api.server import ModelApi, Request

__all__ = ["Call", "Fault", "Kind", "ModelApi", "Request", "Script", "Tokens", "Turn"]
