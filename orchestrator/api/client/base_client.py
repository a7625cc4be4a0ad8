"""Calls of the REST API that are answered with a JSON object."""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

from orchestrator.api.client.errors import ClientError, ServerUnreachable
from orchestrator.api.client.transport import FindUrl, OnSilence, Transport, TransportReply
from orchestrator.system.http_client.http_retry import Waiting

#: A JSON object of the API, as ``/openapi.json`` describes it.
Answer = dict[str, Any]
#: Seconds for which a wait or an event stream continues without its server.
PATIENCE_SECONDS = 300.0


class ClientCalls:
    """Calls to one server with one key. A context manager."""

    def __init__(
        self,
        api_url: str = "http://localhost:8000",
        api_key: str | None = None,
        *,
        retry_seconds: float = 5.0,
        patience_seconds: float = PATIENCE_SECONDS,
        waiting: Waiting | None = None,
        find_url: FindUrl | None = None,
        on_silence: OnSilence | None = None,
    ) -> None:
        self._transport = Transport(api_url, api_key, retry_seconds, waiting, find_url, on_silence)
        self._patience = patience_seconds

    @property
    def api_url(self) -> str:
        return self._transport.url

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lost(self) -> ServerUnreachable:
        return ServerUnreachable(f"connection to {self.api_url} lost")

    def _get(self, path: str, query: Mapping[str, Any] | None = None, **options: float) -> Answer:
        return object_of(self._transport.get(path, query, **options))

    def _post(self, path: str, body: Answer, idempotency_key: str | None = None) -> Answer:
        response = self._transport.post(path, body, idempotency_key=idempotency_key)
        return object_of(response)


def object_of(response: TransportReply) -> Answer:
    """Return the JSON object in a response.

    Raise ClientError for any other response, which comes from another program than the server.
    """
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ClientError(
            f"the program at {response.url} is not an orchestrator; check the address"
        )
    return answer


def bare_id(job_id: str) -> str:
    """Return a job's id, given the id or the name of the job's directory (``job_<id>``)."""
    return job_id.removeprefix("job_")


def path_of(job_id: str, *parts: str) -> str:
    """Return the API path of a job, or of a resource below it."""
    return "/".join(["/api/v1/jobs", *(quote(part, safe="") for part in (bare_id(job_id), *parts))])
