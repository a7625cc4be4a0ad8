"""Real output of ``go test -v`` and ``cargo test`` is read test by test."""

import time

from orchestrator.core.gates.findings import Reading
from orchestrator.gates.parsers.go_cargo import read_cargo, read_go

GO = b"""=== RUN   TestOne
out
=== RUN   TestOne/sub_one
    a_test.go:3: not 1
=== RUN   TestOne/ok
--- FAIL: TestOne (0.00s)
    --- FAIL: TestOne/sub_one (0.00s)
    --- PASS: TestOne/ok (0.00s)
=== RUN   TestSkip
    a_test.go:4: no
--- SKIP: TestSkip (0.00s)
=== RUN   TestNoLineEnd
text--- PASS: TestNoLineEnd (0.00s)
=== RUN   TestPar
=== PAUSE TestPar
=== CONT  TestPar
    a_test.go:5: x
    a_test.go:5: multi
        line
--- FAIL: TestPar (0.00s)
FAIL
FAIL\tx\t0.004s
# x/q [x/q.test]
q/q.go:2:23: undefined: undefinedX
FAIL\tx/q [build failed]
?   \tx/none\t[no test files]
FAIL\tx/died\t0.002s
=== RUN   TestOne
--- PASS: TestOne (0.00s)
PASS
ok  \tx/r\t(cached)
FAIL
"""

CARGO = b"""   Compiling my-x v0.1.0 (/w)
    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.85s
     Running unittests src/lib.rs (target/debug/deps/my_x-f327dddc8b429b80)

running 5 tests
test t::ig ... ignored, too slow
test t::one ... ok
test t::pan - should panic ... ok
test t::bad ... FAILED
test t::res ... \x1b[31mFAILED\x1b[0m

failures:

---- t::bad stdout ----
out

thread 't::bad' (2815) panicked at src/lib.rs:5:120:
assertion `left == right` failed
  left: 1
 right: 3
stack backtrace:
   4: my_x::t::bad

---- t::res stdout ----
Error: "no"


failures:
    t::bad
    t::res

test result: FAILED. 2 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out

error: test failed, to rerun pass `--lib`
     Running tests/it.rs (target/debug/deps/it-baec00c0c8de39b2)

running 1 test
test one ... ok

   Doc-tests my_x

running 2 tests
test src/lib.rs - one (line 1) ... FAILED
test src/lib.rs - two (line 9) - compile ... ok

failures:

---- src/lib.rs - one (line 1) stdout ----
Test executable failed (exit status: 101).

"""


def texts_of(reading: Reading) -> list[str]:
    return [finding.text for finding in reading.findings]


def test_go_names_tests_by_their_package() -> None:
    found = read_go(GO)
    assert texts_of(found) == [
        "x::TestOne: failed",
        "x::TestOne/sub_one: a_test.go:3: not 1",
        "x::TestPar: a_test.go:5: multi",
        "x/q: build failed",
        "x/died: failed",
    ]
    # A test may print another name in each run.
    assert found.passed == ("x::TestNoLineEnd", "x/r::TestOne")
    assert len(found.skipped) == 1


def test_cargo_names_tests_by_their_program() -> None:
    found = read_cargo(CARGO)
    assert texts_of(found) == [
        "my_x::t::bad: src/lib.rs:5:120: assertion `left == right` failed, left: 1, right: 3",
        'my_x::t::res: Error: "no"',
        "my_x (doc)::src/lib.rs - one (line 1): failed",
    ]
    assert found.findings[2].key == "my_x (doc)::src/lib.rs - one (line)"
    passed = ("my_x::t::one", "my_x::t::pan", "it::one", "my_x (doc)::src/lib.rs - two (line)")
    assert (found.passed, len(found.skipped)) == (passed, 1)


def test_a_crate_that_cargo_cannot_build_is_a_finding() -> None:
    output = (
        b"error[E0425]: cannot find function\nerror: could not compile `x` (lib) due to 1 previous"
    )
    assert texts_of(read_cargo(output)) == ["could not compile `x` (lib)"]


def test_other_output_has_no_tests_and_is_read_fast() -> None:
    noise = b"--- " * 100_000 + b"\n" + b" Running " * 50_000 + b"\n" + b"test " * 100_000
    began = time.process_time()
    for read in (read_go, read_cargo):
        assert read(b"error: something else\xff") == Reading(passed=())
        assert read(noise + b" ... o" * 100_000) == Reading(passed=())
    assert time.process_time() - began < 5


def test_a_test_program_that_dies_is_a_finding_in_addition_to_a_failed_test() -> None:
    go = read_go(
        b"=== RUN   TestA\n    a_test.go:3: known\n--- FAIL: TestA (0.00s)\n"
        b"=== RUN   TestB\nFAIL\tex\t0.002s\nFAIL\n"
    )
    cargo = read_cargo(
        b"     Running unittests src/lib.rs (target/debug/deps/ex-a3f24dcc67a3df10)\n\n"
        b"running 3 tests\ntest a ... FAILED\ntest c ... ok\n"
        b"error: test failed, to rerun pass `--lib`\n\nCaused by:\n"
        b"  process didn't exit successfully: `/w/deps/ex-a3f24dcc67a3df10` (signal: 6, SIGABRT)\n"
        b"   Doc-tests ex\n\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed\n"
    )

    assert [each.text for each in go.findings] == [
        "ex::TestA: a_test.go:3: known",
        "ex: TestB did not complete",
    ]
    assert [each.text for each in cargo.findings] == [
        "ex: did not complete (signal: 6, SIGABRT)",
        "ex::a: failed",
    ]
