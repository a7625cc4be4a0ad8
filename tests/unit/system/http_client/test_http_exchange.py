"""Requests and answers of HTTP, as bytes."""

import io
from contextlib import nullcontext

import pytest

from orchestrator.system.http_client.http_exchange import HttpAnswer, request_message

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(message: bytes) -> HttpAnswer:
    return HttpAnswer(io.BufferedReader(io.BytesIO(message)))  # type: ignore[arg-type]


def test_a_request_has_its_headers_and_its_document() -> None:
    message = request_message("POST", "/jobs?a=1", "h:1", {"X-API-Key": "k"}, {"request": "ü"})

    assert message.decode().split("\r\n") == [
        *("POST /jobs?a=1 HTTP/1.0", "Host: h:1", "Connection: close", "X-API-Key: k"),
        *("Content-Type: application/json", "Content-Length: 21", "", '{"request": "\\u00fc"}'),
    ]


def test_a_request_without_a_document_has_no_body() -> None:
    message = request_message("GET", "/", "h:1", {}, version="1.1")

    assert message == b"GET / HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX-Other: b", "a\0"])
def test_a_control_character_in_a_header_is_rejected_without_its_value(value: str) -> None:
    with pytest.raises(ValueError) as refused:
        request_message("GET", "/", "h:1", {"X-API-Key": value})
    assert str(refused.value) == "the header X-API-Key has a control character; remove it"


def test_the_head_of_an_answer_is_parsed() -> None:
    answer = read(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After:  7 \r\nX : a:b\n\r\n")

    assert (answer.status, answer.reason) == (429, "Too Many Requests")
    assert answer.headers == {"retry-after": "7", "x": "a:b"}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"", "connection was lost"),
        (b"HTTP/1.1 200 OK\r\n", "connection was lost"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "connection was lost"),
        (b"\r\n\r\n", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 soon\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 20\xb2\r\n\r\n", "not HTTP"),
    ],
)
def test_an_answer_without_a_whole_head_is_an_error(message: bytes, error: str) -> None:
    with pytest.raises(OSError, match=error):
        read(message)


@pytest.mark.parametrize(
    ("message", "body", "complete"),
    [
        (CHUNKED + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n", b"abcde", True),
        (CHUNKED + b"3\r\nabc\r\n", b"abc", False),
        (CHUNKED + b"5\r\nabc", b"abc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcde", b"abc", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc", True),
    ],
)
def test_an_incomplete_body_is_a_lost_connection(
    message: bytes, body: bytes, complete: bool
) -> None:
    found = bytearray()

    with nullcontext() if complete else pytest.raises(OSError, match="connection was lost"):
        for piece in read(message).pieces():
            found += piece

    assert found == body
