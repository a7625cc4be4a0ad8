"""What runs of a gate found, and what that means for a change. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from orchestrator.core.gates import Gate, GateReport, GateResult, GateSource, GateStatus
from orchestrator.core.patterns import matches, matching

#: So much is told of what one gate found.
MOST_TOLD = 50
#: Characters of a single one.
LONGEST_TOLD = 300
#: Of what a gate printed.
MOST_OUTPUT = 8000


class UnreadableReport(Exception):
    """What a gate left is not what its ``report`` says, or is larger than is read."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that a gate found."""

    #: The same for the same flaw in another state of the project: no line numbers.
    key: str
    #: For people.
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the report of a run says."""

    flaws: tuple[Flaw, ...] = ()
    #: Names of tests; None for what does not count them.
    passed: tuple[str, ...] | None = None
    #: How many tests were there and not run.
    skipped: int = 0
    #: What else there is to know, in words.
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One run of a gate that came to its end."""

    reading: Reading = Reading()
    #: Why it says nothing about the project, in words; empty when it does.
    broken: str = ""
    #: Its program is not there.
    missing: bool = False
    seconds: float = 0.0
    output: str = ""
    log: str = ""

    @property
    def passed(self) -> bool:
        return not self.broken and not self.reading.flaws


class ReportReader(Protocol):
    """Reads what a run of a gate has left."""

    def read(self, report: GateReport, file: Path, log: Path, cwd: str) -> Reading:
        """``file`` is where it was told to write, ``log`` what it printed, ``cwd`` where it ran.

        Raise UnreadableReport.
        """


#: Of some texts without line ends: those that the base has.
KnownTexts = Callable[[Collection[bytes]], Collection[bytes]]


class SecretScan(Protocol):
    def scan(self, added: Iterable[bytes], known: KnownTexts) -> Reading:
        """Secrets in what commits add, as ``Repository.added`` tells it, that are not known.

        Their values are not in what is told.
        """


def with_exit(reading: Reading, code: int) -> Reading:
    """A run that failed and does not say why has one flaw: that it failed."""
    if code == 0 or reading.flaws:
        return reading
    return replace(reading, flaws=(Flaw("exit", f"exit code {code}"),))


def needs_base(gate: Gate, ran: Ran, touched: Mapping[str, bool]) -> bool:
    """Whether it has to be known what the gate finds at the base.

    ``touched``: the paths that the change touches, and whether they were there before.
    """
    if ran.missing and gate.source is GateSource.ASKED:
        return False
    if not ran.passed and gate.new_only:
        return not ran.missing
    return may_have_lost_tests(gate, ran, touched)


def may_have_lost_tests(gate: Gate, ran: Ran, touched: Mapping[str, bool]) -> bool:
    """Only a change of tests, or of what configures them, can lose some.

    A line that is added can take a whole file out. New files can if some tests are skipped.
    """
    if gate.tests_may_vanish or ran.reading.passed is None or ran.broken:
        return False
    return any(
        matches(path, gate.configured_by) or (_is_of_tests(path) and (there or ran.reading.skipped))
        for path, there in touched.items()
    )


def _is_of_tests(path: str) -> bool:
    folded = path.casefold()
    # Those of Rust stand among the code.
    return "test" in folded or "spec" in folded or folded.endswith(".rs")


def result_of(gate: Gate, ran: Ran, base: Ran | None, touched: Collection[str]) -> GateResult:
    """What a run comes to, beside a run at the base where there was one.

    ``touched`` are the paths that the change touches.
    """
    result = GateResult(
        name=gate.name,
        status=GateStatus.PASSED,
        required=gate.required,
        seconds=round(ran.seconds, 3),
        tests=None if ran.reading.passed is None else len(ran.reading.passed),
        note="; ".join(filter(None, [ran.reading.note, _configuration_note(gate, touched)])),
        log=ran.log,
    )
    decide = _broken if ran.broken else _judged
    result = decide(gate, ran, base, result)
    quiet = result.status in {GateStatus.PASSED, GateStatus.SKIPPED}
    return result if quiet else replace(result, output=ran.output[-MOST_OUTPUT:])


def _broken(gate: Gate, ran: Ran, base: Ran | None, result: GateResult) -> GateResult:
    note = "; ".join(filter(None, [ran.broken, result.note]))
    if ran.missing and gate.source is not GateSource.ASKED:
        return replace(result, status=GateStatus.SKIPPED, note=note)
    if base is not None and base.broken:
        return replace(result, status=GateStatus.KNOWN, known=1, note=f"{note}; at the base, too")
    return replace(result, status=GateStatus.BROKEN, note=note)


def _judged(gate: Gate, ran: Ran, base: Ran | None, result: GateResult) -> GateResult:
    before = base.reading if base is not None and not base.broken else Reading()
    if gate.source is GateSource.DETECTED and before.flaws and before.passed == ():
        # Its packages are not installed here, say. Nobody asked for it, and it says nothing.
        note = "; ".join(filter(None, [result.note, "no test passes at the base"]))
        known = len(ran.reading.flaws)
        status = GateStatus.KNOWN if known else GateStatus.PASSED
        return replace(result, status=status, known=known, note=note)
    flaws = ran.reading.flaws
    new = new_flaws(ran.reading, before) if gate.new_only else list(flaws)
    known = len(flaws) - len(new)
    lost = [] if gate.tests_may_vanish else lost_tests(ran.reading, before)
    told = [each.text for each in new] + [f"{name}: {LOST}" for name in lost]
    status = GateStatus.FAILED if told else GateStatus.KNOWN if known else GateStatus.PASSED
    return replace(result, status=status, failures=_shortened(told), known=known)


LOST = "it passed at the base, and is not run any more"


def new_flaws(now: Reading, before: Reading) -> list[Flaw]:
    """Those that are not in ``before``; the second of two that are the same is new.

    A test that was moved, and what is found in a file that was, are the same as before.
    """
    left = Counter(each.key for each in before.flaws)
    new = []
    for flaw in now.flaws:
        if left[flaw.key] > 0:
            left[flaw.key] -= 1
        else:
            new.append(flaw)
    return _without_moved(new, left, now, before)


def _without_moved(
    new: Sequence[Flaw], left: Mapping[str, int], now: Reading, before: Reading
) -> list[Flaw]:
    are_tests = now.passed is not None
    own_name = _own_name if are_tests else _without_path
    there = {*(now.passed or ()), *(each.key for each in now.flaws)}
    paths = {key.partition("|")[0] for key in there}
    gone: Counter[str] = Counter()
    for key, count in left.items():
        if key not in there and (are_tests or key.partition("|")[0] not in paths):
            gone[own_name(key)] += count
    found = []
    for flaw in new:
        if gone[own_name(flaw.key)] > 0 and flaw.key not in (before.passed or ()):
            gone[own_name(flaw.key)] -= 1
        else:
            found.append(flaw)
    return found


def lost_tests(now: Reading, before: Reading) -> list[str]:
    """Tests that passed before and are not run now; one that was moved keeps its own name."""
    if now.passed is None or before.passed is None:
        return []
    there = {*now.passed, *(each.key for each in now.flaws)}
    known = set(before.passed)
    moved = Counter(_own_name(name) for name in there - known)
    lost = []
    for name in sorted(known - there):
        if moved[_own_name(name)] > 0:
            moved[_own_name(name)] -= 1
        else:
            lost.append(name)
    return lost


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


def _without_path(key: str) -> str:
    """What a linter found, wherever it is."""
    return key.partition("|")[2] or key


def _configuration_note(gate: Gate, touched: Collection[str]) -> str:
    found = matching(sorted(touched), gate.configured_by)
    if not found:
        return ""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"the change touches what configures this gate: {', '.join(found[:5])}{more}"


def _shortened(texts: Sequence[str]) -> tuple[str, ...]:
    told = [each[:LONGEST_TOLD] for each in texts[:MOST_TOLD]]
    more = len(texts) - len(told)
    return (*told, f"... and {more} more") if more else tuple(told)


def skipped(gate: Gate, why: str) -> GateResult:
    return GateResult(name=gate.name, status=GateStatus.SKIPPED, required=gate.required, note=why)


def broken(gate: Gate, why: str) -> GateResult:
    return GateResult(name=gate.name, status=GateStatus.BROKEN, required=gate.required, note=why)


def in_words(result: GateResult) -> str:
    """Why a gate blocks, in one line."""
    if result.status is GateStatus.BROKEN:
        return f"gate {result.name} could not be run: {result.note}"
    first = "; ".join(result.failures[:3])
    more = f" and {len(result.failures) - 3} more" if len(result.failures) > 3 else ""
    return f"gate {result.name} failed: {first}{more}"


def for_the_next_attempt(results: Sequence[GateResult], room: int) -> str:
    """What an agent is told of the gates that its work did not pass; at most ``room`` characters.

    Empty where none blocks.
    """
    blocking = [each for each in results if each.blocks]
    if not blocking:
        return ""
    share = max(300, room // len(blocking))
    parts = [_told(each, share) for each in blocking]
    words = "Your result was checked and did not pass. Mend what was found; weaken no check."
    return "\n\n".join([words, *parts])[:room]


def _told(result: GateResult, room: int) -> str:
    lines = [f"Gate {result.name}: {result.status}"]
    lines += [result.note] if result.note else []
    lines += [f"- {each}" for each in result.failures]
    text = "\n".join(lines)[: room * 2 // 3]
    left = room - len(text) - 40
    end = result.output[-left:] if left > 200 else ""
    return f"{text}\nThe end of what it printed:\n{end}" if end.strip() else text
