"""An exit record counts only with the secret that its shim had."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.containment.containment_settings import ContainmentSettings, Mode
from orchestrator.launchers.exit_record import exit_record
from orchestrator.security.secrets.api_keys import new_proof
from orchestrator.system import process_table
from tests.integration.launchers.conftest import Stage, open_stage

#: Worker that writes a record of success, and kills its shim: its parent, or the process that the
#: ``.run`` file names if the parent is not visible.
FORGER = """\
import json, os, signal, sys, time
exit_path, how = sys.argv[1:]
run = exit_path.removesuffix(".json") + ".run"
shim = json.loads(open(run).readline())["shim"]
record = {"attempt": "x", "ended_by": "exit", "code": 0, "started_at": 1.0, "ended_at": 2.0,
          "strays": []}
if how == "guesses":
    record["secret"] = "0" * 64
text = json.dumps(record) + "\\n"
if how == "in the claim":
    open(run, "r+").write(text)
else:
    if how == "without a claim":
        os.unlink(run)
    open(exit_path, "w").write(text)
os.kill(shim if how != "parent" else os.getppid(), signal.SIGKILL)
time.sleep(600)
"""
WAYS = ("parent", "guesses", "in the claim", "without a claim")


def forger(stage: Any, name: str, how: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", FORGER, str(stage.directory / f"{name}.json"), how)


def believed(stage: Any, name: str) -> dict[str, Any]:
    """Return the accepted exit record."""
    found: dict[str, Any] = json.loads((stage.directory / f"{name}.json").read_text())
    return found


def outside(stage: Stage, name: str, how: str) -> None:
    """Forge records from outside the namespace that hides the shim from its worker."""
    path = stage.directory / f"{name}.json"
    record = {"ended_by": "exit", "code": 0, "secret": "0" * 64 if how == "guesses" else ""}
    if how == "in the claim":
        path.with_suffix(".run").write_text(json.dumps(record) + "\n")
        return
    if how == "without a claim":
        path.with_suffix(".run").unlink()
    path.write_text(json.dumps(record) + "\n")


@pytest.fixture(params=(Mode.SUBREAPER, Mode.CGROUP, Mode.BASIC))
def unprotected(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Open a stage in each mode in which a worker sees its shim."""
    stage = open_stage(tmp_path, ContainmentSettings(mode=request.param))
    yield stage
    stage.close()


@pytest.mark.parametrize("how", WAYS)
def test_a_worker_that_writes_a_record_and_kills_its_shim_is_not_believed(
    unprotected: Stage, how: str
) -> None:
    stage, proof = unprotected, new_proof()
    ended = stage.run("a", *forger(stage, "a", how), proof=proof)

    assert (ended.ended_by, ended.code) == (EndedBy.LOST, None)
    assert believed(stage, "a")["ended_by"] == "lost", "a tombstone must exist"
    assert ended == exit_record.read_exit(str(stage.directory / "a.json"), proof.digest)
    if how != "in the claim":
        assert ended.cause is ExitCause.RECORD_FORGED
        assert json.loads((stage.directory / "a.json.foreign").read_text())["code"] == 0


@pytest.mark.parametrize("how", WAYS)
def test_a_forged_record_is_not_believed_in_any_mode(
    contained: Stage, how: str, until: Callable[..., None]
) -> None:
    proof = new_proof()
    contained.start("a", "sleep", "600", proof=proof)
    contained.reports.pid("a")
    shim = contained.shim()
    outside(contained, "a", how)

    os.kill(shim, signal.SIGKILL)

    assert contained.reports.exit("a").ended_by is EndedBy.LOST
    assert believed(contained, "a")["ended_by"] == "lost"
    until(lambda: not process_table.marked(contained.id("a")))


#: Forged records of an unknown end, with causes that use no retry.
LOSS_FORGER = """\
import json, os, signal, sys, time
exit_path, cause = sys.argv[1:]
run = exit_path.removesuffix(".json") + ".run"
open(exit_path + ".runs", "a").write("x")
if cause == "in the claim":
    open(run, "r+").write(json.dumps({"ended_by": "lost", "cause": "no_room"}) + "\\n")
else:
    os.unlink(run)
    if cause:
        record = {"ended_by": "lost", "cause": cause, "error": "forged", "strays": []}
        open(exit_path, "w").write(json.dumps(record) + "\\n")
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(600)
"""


@pytest.mark.parametrize("claim", ["never_began", "no_room", "orphan_lease", "in the claim", ""])
def test_a_worker_that_claims_to_be_lost_or_not_begun_is_not_believed(
    unprotected: Stage, claim: str
) -> None:
    stage, proof, path = unprotected, new_proof(), str(unprotected.directory / "a.json")
    argv = (sys.executable, "-S", "-c", LOSS_FORGER, path, claim)

    ended = stage.run("a", *argv, proof=proof)

    assert ended.ended_by is EndedBy.LOST
    assert ended.cause in (ExitCause.SHIM_DIED, ExitCause.RECORD_FORGED), ended
    assert Path(f"{path}.runs").read_text() == "x", "the attempt did not run a second time"
    # A second call gives the same answer.
    assert stage.launcher.determine_end(stage.id("a"), path, proof.digest) == ended


def test_an_attempt_that_kills_its_shim_before_the_report_of_its_start_has_begun(
    unprotected: Stage,
) -> None:
    """A shim delays its reports by some milliseconds."""
    stage, proof, path = unprotected, new_proof(), unprotected.directory / "a"

    ended = stage.shell("a", f"echo >> {path}.runs; rm {path}.run; kill -9 $PPID", proof=proof)

    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.SHIM_DIED), ended
    assert Path(f"{path}.runs").read_text() == "\n", "the attempt did not run a second time"


@pytest.mark.parametrize("claim", ["never_began", "in the claim", ""])
def test_an_adopted_attempt_has_begun_whatever_it_claims(stage: Stage, claim: str) -> None:
    proof, path = new_proof(), stage.directory / "a.json"
    go = stage.directory / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    argv = (sys.executable, "-S", "-c", wait + LOSS_FORGER, str(path), claim)
    stage.start("a", *argv, proof=proof)
    stage.reports.pid("a")
    stage.reopen()
    assert stage.launcher.adopt(stage.id("a"), str(path), proof.digest)

    go.touch()

    ended = stage.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST
    assert ended.cause in (ExitCause.SHIM_DIED, ExitCause.RECORD_FORGED), ended


def test_a_tombstone_is_recognized_by_each_process_that_knows_the_attempt(tmp_path: Path) -> None:
    proof, other = new_proof(), new_proof()
    exit_path = str(tmp_path / "a.json")
    ended = exit_record.mark_lost(
        exit_path, "it never began", (), ExitCause.NEVER_BEGAN, proof.digest
    )

    assert ended is not None
    assert exit_record.read_exit(exit_path, proof.digest) == ended
    assert exit_record.read_exit(exit_path) == ended, "without a stored hash, every record counts"
    assert exit_record.read_exit(exit_path, other.digest) is None
    assert proof.digest not in Path(exit_path).read_text()


def test_a_shim_proves_its_record_and_the_servers_memory_of_a_launch_has_no_secret(
    stage: Stage,
) -> None:
    proof = new_proof()
    ended = stage.shell("a", "exit 3", proof=proof)
    path = str(stage.directory / "a.json")

    record = believed(stage, "a")
    assert hashlib.sha256(record["secret"].encode()).hexdigest() == proof.digest
    assert exit_record.read_exit(path, proof.digest) == ended
    assert exit_record.read_exit(path, new_proof().digest) is None, "another attempt's record"
    assert proof.secret not in repr(proof) and proof.secret not in repr(stage.launch("b"))


def test_each_attempt_of_a_shim_has_a_secret_of_its_own(stage: Stage) -> None:
    proofs = [new_proof() for _ in range(3)]
    for number, proof in enumerate(proofs):
        stage.shell(f"w{number}", "true", proof=proof)
    stage.shell("plain", "true")

    secrets = [believed(stage, f"w{number}")["secret"] for number in range(3)]
    assert secrets == [proof.secret for proof in proofs]
    assert "secret" not in believed(stage, "plain")


def test_a_record_of_an_earlier_release_is_believed(stage: Stage) -> None:
    stage.shell("a", "exit 4")

    found = stage.launcher.determine_end(stage.id("a"), str(stage.directory / "a.json"))

    assert (found.ended_by, found.code) == (EndedBy.EXIT, 4)


def test_a_record_is_believed_by_the_next_server_too(stage: Stage) -> None:
    proof = new_proof()
    stage.start("a", "sh", "-c", "exit 4", proof=proof)
    ended = stage.reports.exit("a")
    stage.reopen()

    for _ in range(2):
        path = str(stage.directory / "a.json")
        assert stage.launcher.determine_end(stage.id("a"), path, proof.digest) == ended


def test_an_adopted_attempt_is_judged_by_its_proof(
    stage: Stage, until: Callable[..., None]
) -> None:
    good, bad = new_proof(), new_proof()
    go = stage.directory / "go"
    script = f"while [ ! -e {go} ]; do sleep 0.01; done; exit 5"
    stage.start("good", "sh", "-c", script, proof=good)
    stage.start("bad", "sleep", "600", proof=bad)
    shim = stage.shim_of("bad")
    stage.reopen()
    for name, proof in (("good", good), ("bad", bad)):
        path = str(stage.directory / f"{name}.json")
        assert stage.launcher.adopt(stage.id(name), path, proof.digest)

    go.touch()
    outside(stage, "bad", "parent")
    os.kill(shim, signal.SIGKILL)

    assert stage.reports.exit("good").code == 5
    assert stage.reports.exit("bad").ended_by is EndedBy.LOST
    assert believed(stage, "bad")["ended_by"] == "lost"


def test_a_publication_that_was_cut_off_is_completed_only_with_the_secret(tmp_path: Path) -> None:
    proof = new_proof()
    for name, secret, state in (
        ("own", proof.secret, exit_record.EndedAttempt),
        ("forged", "1" * 64, exit_record.Unfinished),
    ):
        exit_path = str(tmp_path / f"{name}.json")
        record = {"ended_by": "exit", "code": 0, "secret": secret}
        (tmp_path / f"{name}.run").write_text(json.dumps(record) + "\n")

        assert isinstance(exit_record.attempt_state(exit_path, proof.digest), state)
        ended = exit_record.mark_lost(exit_path, "given up", digest=proof.digest)
        assert ended is not None
        assert (ended.ended_by is EndedBy.EXIT) == (name == "own")
        # The next reader reads the record that the first reader wrote.
        assert exit_record.read_exit(exit_path, proof.digest) == ended


#: Program that tries all accesses of the same user to the memory of another process.
SPY = """\
import ctypes, json, os, sys
def tried(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
shim = os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    if libc.syscall(*words) < 0:
        raise OSError(ctypes.get_errno(), "")
def copied():
    class Part(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    buffer = ctypes.create_string_buffer(8)
    here = Part(ctypes.cast(buffer, ctypes.c_void_p), 8)
    there = Part(ctypes.cast(buffer, ctypes.c_void_p), 8)
    if libc.process_vm_readv(shim, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "")
found = {
    "mem": tried(lambda: open(f"/proc/{shim}/mem", "rb")),
    "environ": tried(lambda: open(f"/proc/{shim}/environ", "rb").read()),
    "fd": tried(lambda: os.listdir(f"/proc/{shim}/fd")),
    "maps": tried(lambda: open(f"/proc/{shim}/maps").read()),
    "ptrace": tried(lambda: call(101, 16, shim, 0, 0)),
    "process_vm_readv": tried(copied),
    "pidfd_getfd": tried(lambda: call(438, os.pidfd_open(shim), 3, 0)),
}
own = {"environ": tried(lambda: open("/proc/self/environ", "rb").read()),
       "mem": tried(lambda: open("/proc/self/mem", "rb"))}
print(json.dumps([found, own]))
"""


@pytest.mark.skipif(
    os.getuid() == 0, reason="root may read all memory; run the test as the user nobody"
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
def test_a_worker_cannot_read_its_shims_memory(stage: Stage) -> None:
    stage.run("a", sys.executable, "-S", "-c", SPY, proof=new_proof())

    found, own = json.loads(stage.log("a"))
    assert {name: error for name, error in found.items() if error == 0} == {}
    assert own == {"environ": 0, "mem": 0}, "a worker may read its own memory"


def test_shim_spawner_and_keeper_hide_their_memory_and_workers_do_not(stage: Stage) -> None:
    stage.start("a", "sleep", "600", proof=new_proof())
    shim = stage.shim_of("a")

    # Files of a process with hidden memory belong to root; the owner shows it to all users.
    owners = {
        name: os.stat(f"/proc/{pid}/environ").st_uid
        for name, pid in {
            "shim": shim,
            "spawner": stage.spawner,
            "keeper": stage.launcher.keeper_pid,
            "worker": stage.reports.pid("a"),
        }.items()
    }
    expected = {"shim": 0, "spawner": 0, "keeper": 0, "worker": os.getuid()}
    assert owners == expected
