"""Keys in what a change adds are found; what only looks like one is not."""

import random
import string
import time

import pytest

from orchestrator.gates.secret_scan import LONGEST_LINE, Secrets, found_in

#: Put together here, so that no scanner takes this file for a leak.
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
    assert found_in(f"x = '{SECRETS[kind]}' # y".encode()) == kind or (
        found_in(SECRETS[kind].encode()) == kind
    )


@pytest.mark.parametrize(
    "line",
    [
        # As in the tests of Django.
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
def test_what_only_looks_like_a_secret_is_left(line: str) -> None:
    assert found_in(line.encode()) == ""


DIFF = f"""diff --git a/src/a.py b/src/a.py
--- a/src/a.py
+++ b/src/a.py
@@ -3,2 +3,3 @@ def f():
-old = "{SECRETS["GitHub token"]}"
-older = 1
+++ b/not/a/header
+key = "{SECRETS["GitHub token"]}"
+plain = 1
diff --git a/package-lock.json b/package-lock.json
--- /dev/null
+++ b/package-lock.json
@@ -0,0 +1 @@
+{SECRETS["value that looks like a secret"]}
""".encode()


def test_only_added_lines_count_and_the_value_is_not_told() -> None:
    found = Secrets().scan(DIFF)

    assert [flaw.text for flaw in found.flaws] == ["src/a.py:4: GitHub token (value not shown)"]
    assert SECRETS["GitHub token"] not in str(found)


def test_what_is_long_hostile_or_no_diff_takes_no_time() -> None:
    drawn = random.Random(3)
    noise = "".join(drawn.choices(string.ascii_letters + string.digits + "=:'\"@/", k=200_000))
    lines = [noise, "://" * 50_000, "token" * 40_000, "eyJ" + "a" * 100_000, "key='" + "a" * 99_999]
    diff = "\n".join(["+++ b/x", f"@@ -0,0 +1,{len(lines)} @@", *(f"+{each}" for each in lines)])

    began = time.process_time()
    Secrets().scan(diff.encode())
    Secrets().scan(b"\xff\0" * 10_000)

    assert time.process_time() - began < 2
    assert LONGEST_LINE < 10_000
