"""Failures of one test in two runs, as real test runners write them."""

import pytest

from orchestrator.core.gates.failure_fingerprint import are_alike

SAME = [
    ("assert 2 == 1", "assert 3 == 1"),
    ("assert 'ann' == 'bob'", "assert 'eve' == 'bob'"),
    ("KeyError: 'user'", "KeyError: 'user'"),
    (
        "AttributeError: <app.Shop object at 0x7f3a90> has no attribute 'total'",
        "AttributeError: <app.Shop object at 0x7fe110> has no attribute 'total'",
    ),
    (
        "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/py-a/pytest-1/x0/a.db'",
        "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/py-a/pytest-27/x0/a.db'",
    ),
    (
        "OSError: cannot open /home/a/jobs/1f/depth_1/worker_1/worktree/data.bin",
        "OSError: cannot open /home/a/jobs/1f/gates/base_77/worktree/data.bin",
    ),
    ("TimeoutError: no answer after 2.01 s", "TimeoutError: no answer after 1.98 s"),
    ("TimeoutError: no answer after 950 ms", "TimeoutError: no answer after 1.2 s"),
    (
        "ConnectionRefusedError: [Errno 111] 127.0.0.1:45123",
        "ConnectionRefusedError: [Errno 111] 127.0.0.1:39001",
    ),
    (
        "ValueError: bad token 6f1d2c9ab3e84755",
        "ValueError: bad token 0a9b8c7d6e5f4321",
    ),
    (
        "LookupError: no job 123e4567-e89b-12d3-a456-426614174000",
        "LookupError: no job 9b2f8c1a-0d3e-4f5a-8b7c-6d5e4f3a2b1c",
    ),
    ("RuntimeError: too late: 2026-11-23T08:19:48", "RuntimeError: too late: 2026-11-24T01:02:03"),
    ("ValueError: unknown {'b', 'a', 'c'}", "ValueError: unknown {'c', 'a', 'b'}"),
    ("PermissionError: tmpab12cd_z is locked", "PermissionError: tmpq9x8w7v6 is locked"),
    (
        "java.lang.AssertionError: expected:<1> but was:<2>",
        "java.lang.AssertionError: expected:<1> but was:<7>",
    ),
    (
        "\x1b[31mError: expect(received).toBe(expected)\x1b[39m",
        "Error: expect(received).toBe(expected)",
    ),
    ("", "ValueError: a report without a message"),
]
DIFFERENT = [
    ("assert 2 == 1", "NameError: name 'one' is not defined"),
    ("assert 2 == 1", "assert None == 1"),
    ("KeyError: 'user'", "KeyError: 'password'"),
    (
        "ModuleNotFoundError: No module named 'requests'",
        "ModuleNotFoundError: No module named 'app.core'",
    ),
    (
        "ModuleNotFoundError: No module named 'requests'",
        "ImportError: cannot import name 'one' from 'app'",
    ),
    ("AssertionError: user not found", "AssertionError: permission denied"),
    ("TimeoutError: no answer after 2 s", "ConnectionRefusedError: [Errno 111]"),
    ("TypeError: f() takes 1 argument", "TypeError: 'NoneType' object is not callable"),
    ("ValueError: bad date", "json.decoder.JSONDecodeError: Expecting value"),
    ("ZeroDivisionError: division by zero", "SyntaxError: invalid syntax"),
    (
        "Error: expect(received).toBe(expected)",
        "ReferenceError: total is not defined",
    ),
    ("requests.exceptions.ConnectionError: refused", "requests.exceptions.SSLError: refused"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_details_that_differ_from_run_to_run_do_not_make_another_failure(
    one: str, other: str
) -> None:
    assert are_alike(one, other)
    assert are_alike(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_exception_or_another_message_is_another_failure(one: str, other: str) -> None:
    assert not are_alike(one, other)
    assert not are_alike(other, one)
