"""Keys in a change's added lines are found; text that only resembles a key is not."""

import random
import string
import time

import pytest

from orchestrator.gates.secret_scan import OVERLAP_BYTES, WINDOW_BYTES, SecretScanner
from orchestrator.security.secrets.secret_kinds import find_secret, redacted

#: Concatenated, so that no scanner reports this file.
SECRETS = {
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLF"[:16].replace("7", "2").replace("1", "2"),
    "GitHub token": "ghp" + "_" + "a1B2" * 9,
    "Slack token": "xoxb" + "-123456789012-abcdefGHIJ",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Google API key": "AIza" + "Sy" + "a1B2c" * 6 + "abc",
    "Anthropic key": "sk-ant" + "-api03-" + "a1B2" * 8,
    "OpenAI key": "sk-proj" + "-" + "a1B2" * 8,
    "Stripe key": "sk_live" + "_" + "a1B2" * 6,
    "password in an address": "postgres://app:" + "s3cr3tvalue" + "@db.internal/x",
    "value that looks like a secret": 'api_key = "' + "aX9kQ2mZ7pL4vR8tY1wB" + '"',
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_known_by_its_kind(kind: str) -> None:
    texts = (f"x = '{SECRETS[kind]}' # y", SECRETS[kind])
    found = [find_secret(text.encode()) for text in texts]
    assert kind in [each.kind for each in found if each]


@pytest.mark.parametrize(
    "line",
    [
        # As in Django's tests.
        'CSRF_TOKEN = "1bcdefghij2bcdefghij3bcdefghij4bcdefghij5bcdefghij6bcdefghijABCD"',
        'password = "changeme"',
        'api_key = os.environ["API_KEY"]',
        'token = "this-is-a-placeholder-for-the-token"',
        'secret_name = "projects/my-project/secrets/the-name"',
        "url = 'postgres://user:password@localhost/db'",
        "url = 'redis://user:hunter22@localhost/0'",
        "sha256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'",
        'token = "' + "aX9kQ2mZ7pL4vR8tY1wB" + '"  # orchestrator: allow-secret',
        "task-sk-proj-name",
    ],
)
def test_text_that_only_looks_like_a_secret_is_no_finding(line: str) -> None:
    assert find_secret(line.encode()) is None


KEY = SECRETS["GitHub token"]
DIFF = f"""commit 0123456789abcdef0123456789abcdef01234567
 The subject
 +++ b/is/in/the/message

diff --git a/src/a.py b/src/a.py
--- a/src/a.py
+++ b/src/a.py
@@ -3,2 +3,3 @@ def f():
-old = "{KEY}"
-older = 1
+++ b/not/a/header
+key = "{KEY}"
+plain = 1
diff --git a/package-lock.json b/package-lock.json
--- /dev/null
+++ b/package-lock.json
@@ -0,0 +1 @@
+{SECRETS["value that looks like a secret"]}
""".encode()


def texts_of(*pieces: bytes, secrets: SecretScanner | None = None) -> list[str]:
    found = (secrets or SecretScanner()).scan(pieces, lambda texts: ())
    return [finding.text for finding in found.findings]


def lines(*texts: bytes, path: str = "a.txt") -> bytes:
    head = f"commit abc\n\ndiff --git a/x b/x\n+++ b/{path}\n@@ -0,0 +1,{len(texts)} @@\n"
    return head.encode() + b"".join(b"+" + text + b"\n" for text in texts)


IN_A = "a.txt:1: GitHub token (value not shown), added by commit abc"


def test_only_added_lines_count_and_the_value_is_not_shown() -> None:
    reading = SecretScanner().scan([DIFF], lambda texts: ())

    text = "src/a.py:4: GitHub token (value not shown), added by commit 0123456789ab"
    assert [finding.text for finding in reading.findings] == [text]
    assert KEY not in str(reading)


def test_findings_do_not_depend_on_how_the_text_is_cut_into_pieces() -> None:
    whole = texts_of(DIFF)
    assert whole == texts_of(*(DIFF[at : at + 1] for at in range(len(DIFF))))
    assert whole == texts_of(*(DIFF[at : at + 7] for at in range(0, len(DIFF), 7)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_of_two_bytes_a_character_is_read(encoding: str) -> None:
    content = f"ключ\r\nthe token is {KEY} here\r\nend".encode(encoding)
    assert texts_of(lines(*content.split(b"\n"))) == [IN_A.replace(":1:", ":2:")]


def test_a_secret_between_bytes_of_a_program_is_found() -> None:
    assert texts_of(lines(b"\x7fELF\0\0\1" + KEY.encode() + b"\0\0\xff")) == [IN_A]
    reader = SECRETS["private key"].encode()
    assert texts_of(lines(b"\0" + reader + b"\0-----END")) == []


@pytest.mark.parametrize(
    "at", [0, 5000, WINDOW_BYTES - 20, WINDOW_BYTES + OVERLAP_BYTES, 3_000_000]
)
def test_a_line_is_read_to_its_end(at: int) -> None:
    text = lines(b"x " * (at // 2) + KEY.encode() + b" y" * 100_000, b"plain", KEY.encode())
    pieces = [text[place : place + WINDOW_BYTES] for place in range(0, len(text), WINDOW_BYTES)]
    assert texts_of(*pieces) == [IN_A]
    assert texts_of(*pieces, lines(KEY.encode(), path="b.txt")) == [
        IN_A,
        IN_A.replace("a.txt", "b.txt"),
    ]


def test_text_that_was_not_scanned_is_noted() -> None:
    reading = SecretScanner(most_bytes=1 << 20).scan([b"x" * (1 << 20), DIFF], lambda texts: ())
    assert (reading.findings, reading.note) == (
        (),
        "only the first 1 MiB of the added text were scanned",
    )


def test_secrets_of_the_base_do_not_count() -> None:
    other = SECRETS["Stripe key"]
    text = lines(KEY.encode(), other.encode())
    found = SecretScanner().scan([text], lambda texts: {KEY.encode()} & set(texts))
    assert [finding.text for finding in found.findings] == [
        "a.txt:2: Stripe key (value not shown), added by commit abc"
    ]


def test_long_or_hostile_text_is_scanned_fast() -> None:
    drawn = random.Random(3)
    noise = "".join(drawn.choices(string.ascii_letters + string.digits + "=:'\"@/", k=200_000))
    long = [noise, "://" * 50_000, "token" * 40_000, "eyJ" + "a" * 100_000, "key='" + "a" * 99_999]
    text = lines(*(each.encode() for each in [*long, "-eyJ" * 20_000, "eyJ.eyJ-" * 20_000]))

    began = time.process_time()
    texts_of(text)
    texts_of(b"\xff\0" * 10_000)

    assert time.process_time() - began < 2


def test_a_line_is_shown_without_its_secrets() -> None:
    line = f"use {KEY} and {SECRETS['Stripe key']}, ä"
    assert redacted(line) == "use [GitHub token] and [Stripe key], ä"
    assert redacted("nothing: key = x") == "nothing: key = x"
