"""A message's deadline applies even if the receiver sends its answer byte by byte."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy
from orchestrator.outbox.delivery.http_sender import NO_ANSWER, HttpSender

LONG = b"x" * 100_000


@pytest.fixture
def dripping() -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends its answer byte by byte."""
    answer = [b""]
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                for number in range(len(answer[0])):
                    connection.sendall(answer[0][number : number + 1])
                    if done.wait(0.02):
                        return
            except OSError:  # the sender has disconnected
                return

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=drip, args=(connection,)))
            threads[-1].start()

    threads: list[threading.Thread] = []
    server = socket.create_server(("127.0.0.1", 0))
    threads.append(threading.Thread(target=accept))
    threads[0].start()
    yield server.getsockname()[1], answer
    done.set()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for each in threads:
        each.join(5)


@pytest.mark.parametrize(
    ("scheme", "answer", "delivered"),
    [
        ("http", b"HTTP/1.1 200 OK\r\nX-Long: " + LONG, False),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n" + LONG, True),
        # A record of a TLS handshake with 16,000 bytes.
        ("https", b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c" + LONG, False),
    ],
)
def test_a_receiver_that_drips_its_answer_is_left_after_the_time_out(
    dripping: tuple[int, list[bytes]], scheme: str, answer: bytes, delivered: bool
) -> None:
    port, answers = dripping
    answers[0] = answer
    host = f"127.0.0.1:{port}"
    began = time.monotonic()

    outcome = HttpSender(AddressPolicy([host]), 1.0, time.time).post(
        f"{scheme}://{host}/", b"{}", {}
    )

    assert time.monotonic() - began < 10
    assert outcome.delivered == delivered
    assert delivered or outcome.error == NO_ANSWER
