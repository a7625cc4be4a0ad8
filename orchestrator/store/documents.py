"""Nested values as they come out of JSON documents: lists are tuples again, words are enums.

Writing needs no counterpart: a value is written with all its fields. A field that a document
lacks, because it was written before the field existed, gets its default.
"""

from typing import Any

from orchestrator.core.delivery import Delivery, Intent
from orchestrator.core.earlier_exits import cause_of
from orchestrator.core.evidence import ChangeSize, EndedBy, Exit, PromptSize, Stray, Usage
from orchestrator.core.exit_cause import ExitCause
from orchestrator.core.failure import Failure, FailureKind, RetryStrategy, Rollback
from orchestrator.core.final_text import FinalText
from orchestrator.core.gates import (
    Gate,
    GateCause,
    GateReport,
    GateResult,
    GateSource,
    GateStatus,
)
from orchestrator.core.held_back import HeldBack, HeldBackRule
from orchestrator.core.job_facts import (
    CapPassed,
    CheckoutChange,
    EarlierPart,
    FlakyGate,
    GateFact,
    JobFacts,
    LossCause,
    Missing,
    Overruled,
    PlanFallback,
    Shortfall,
    SwitchedOff,
    UnjudgedCause,
    UnjudgedFile,
    UnjudgedWork,
)
from orchestrator.core.model import JobConfig, TaskSpec, WaitingFor
from orchestrator.core.repository_changes import Alteration, ChangedKind, RepositoryChange
from orchestrator.core.session import Session
from orchestrator.core.side_work import SideWork, SideWorkKind
from orchestrator.core.standing import Criterion, Standing
from orchestrator.core.states import WaitKind
from orchestrator.core.worker_result import WorkerResult

_TUPLES_OF_TASK = ("agents", "depends_on", "files", "writes", "locks")

Found = dict[str, Any]


def read_config(found: Found) -> JobConfig:
    if "context_files" in found:
        found["context_files"] = tuple(found["context_files"])
    return JobConfig(**_with_gates(found))


def read_task(found: Found) -> TaskSpec:
    for name in _TUPLES_OF_TASK:
        if name in found:
            found[name] = tuple(found[name])
    if isinstance(found.get("command"), list):
        found["command"] = tuple(found["command"])
    return TaskSpec(**_with_gates(found))


def read_exit(found: Found) -> Exit:
    ended_by = EndedBy(found["ended_by"])
    if "cause" in found:
        cause = ExitCause(found["cause"])
    else:
        cause = cause_of(ended_by, found.get("error", ""), found.get("stopped_by", ""))
    return Exit(**{**_with_strays(found), "ended_by": ended_by, "cause": cause})


def read_result(found: Found) -> WorkerResult:
    if "files_created" in found:
        found["files_created"] = tuple(found["files_created"])
    found["conflicts"] = tuple(found.get("conflicts", ()))
    for name in ("usage", "usage_before"):
        if found.get(name) is not None:
            found[name] = Usage(**found[name])
    if found.get("prompt") is not None:
        found["prompt"] = PromptSize(**found["prompt"])
    found["gates"] = tuple(_gate_result(each) for each in found.get("gates", ()))
    if "failures" in found:
        found["failures"] = tuple(_read_failure(each) for each in found["failures"])
    found["rollbacks"] = tuple(Rollback(**each) for each in found.get("rollbacks", ()))
    if found.get("change") is not None:
        found["change"] = ChangeSize(**found["change"])
    if found.get("delivery") is not None:
        found["delivery"] = _read_delivery(found["delivery"])
    if found.get("session") is not None:
        found["session"] = read_session(found["session"])
    if found.get("standing") is not None:
        by = Criterion(found["standing"]["by"])
        found["standing"] = Standing(**{**found["standing"], "by": by})
    return WorkerResult(**_with_strays(found))


def read_session(found: Found) -> Session:
    return Session(**found)


def _read_delivery(found: Found) -> Delivery:
    paths = {
        name: tuple(found.get(name, ()))
        for name in ("missing", "saved", "outside", "checkout", "code")
    }
    deferred = found.get("deferred")
    own = {
        "intent": Intent(found.get("intent", Intent.ANSWER)),
        "deferred": None if deferred is None else FinalText(deferred),
        "side_work": _read_side_work(found),
        "held_back": _read_held_back(found),
    }
    return Delivery(**{**found, **paths, **own})


def _read_held_back(found: Found) -> tuple[HeldBack, ...]:
    listed = found.get("held_back", ())
    return tuple(HeldBack(**{**each, "rule": HeldBackRule(each["rule"])}) for each in listed)


def _read_side_work(found: Found) -> tuple[SideWork, ...]:
    listed = found.get("side_work", ())
    return tuple(SideWork(**{**each, "kind": SideWorkKind(each["kind"])}) for each in listed)


def _read_failure(found: Found) -> Failure:
    kind, strategy = FailureKind(found["kind"]), RetryStrategy(found["strategy"])
    gates = tuple(found.get("gates", ()))
    return Failure(**{**found, "kind": kind, "strategy": strategy, "gates": gates})


def read_facts(found: Found) -> JobFacts:
    missing = tuple(_read_missing(each) for each in found.get("missing", ()))
    below = tuple(_read_missing(each) for each in found.get("lost_below", ()))
    overruled = tuple(_read_overruled(each) for each in found.get("overruled", ()))
    also = tuple(_read_overruled(each) for each in found.get("overruled_below", ()))
    shortfalls = tuple(_read_shortfall(each) for each in found.get("shortfalls", ()))
    gates = tuple(_gate_fact(each) for each in found.get("gates", ()))
    fallback = found.get("plan_fallback")
    return JobFacts(
        **{
            **found,
            "missing": missing,
            "lost_below": below,
            "not_in_parent": tuple(found.get("not_in_parent", ())),
            "taken": tuple(found.get("taken", ())),
            "taken_jobs": tuple(found.get("taken_jobs", ())),
            "overruled": overruled,
            "overruled_below": also,
            "shortfalls": shortfalls,
            "both_kept": tuple(found.get("both_kept", ())),
            "gates": gates,
            "gates_passed": tuple(found.get("gates_passed", ())),
            "flaky": tuple(
                FlakyGate(**{**each, "findings": tuple(each["findings"])})
                for each in found.get("flaky", ())
            ),
            "checkout": tuple(
                CheckoutChange(path=each["path"], workers=tuple(each["workers"]))
                for each in found.get("checkout", ())
            ),
            "unjudged_files": tuple(
                UnjudgedFile(**{**each, "cause": UnjudgedCause(each["cause"])})
                for each in found.get("unjudged_files", ())
            ),
            "switched_off": tuple(
                SwitchedOff(gate=each["gate"], places=tuple(each["places"]))
                for each in found.get("switched_off", ())
            ),
            "unjudged_work": tuple(
                UnjudgedWork(
                    worker_id=each["worker_id"],
                    files=tuple(each["files"]),
                    beside=tuple(each.get("beside", ())),
                )
                for each in found.get("unjudged_work", ())
            ),
            "unpriced": tuple(found.get("unpriced", ())),
            "repository_changes": tuple(
                _read_repository_change(each) for each in found.get("repository_changes", ())
            ),
            "earlier_parts": tuple(EarlierPart(**each) for each in found.get("earlier_parts", ())),
            "caps_passed": tuple(CapPassed(**each) for each in found.get("caps_passed", ())),
            "plan_fallback": PlanFallback(**fallback) if fallback else None,
        }
    )


def _read_repository_change(found: Found) -> RepositoryChange:
    kind, how = ChangedKind(found["kind"]), Alteration(found["alteration"])
    return RepositoryChange(**{**found, "kind": kind, "alteration": how})


def _read_missing(found: Found) -> Missing:
    cause = LossCause(found.get("cause", LossCause.CONFLICT))
    return Missing(**{**found, "cause": cause, "paths": tuple(found.get("paths", ()))})


def _read_overruled(found: Found) -> Overruled:
    return Overruled(**{**found, "places": tuple(found.get("places", ()))})


def _read_shortfall(found: Found) -> Shortfall:
    paths = {name: tuple(found.get(name, ())) for name in ("outside", "checkout", "judges")}
    return Shortfall(
        worker_id=found["worker_id"],
        unchanged=bool(found.get("unchanged")),
        has_worktree=bool(found.get("has_worktree", True)),
        judges_with_code=bool(found.get("judges_with_code")),
        **paths,
        held_back=_read_held_back(found),
    )


def _gate_fact(found: Found) -> GateFact:
    return GateFact(**{**found, "cause": GateCause(found["cause"]) if found["cause"] else None})


def read_waiting(found: Found) -> WaitingFor:
    return WaitingFor(kind=WaitKind(found["kind"]), name=found.get("name", ""))


def read_names(found: list[str]) -> tuple[str, ...]:
    return tuple(found)


def read_mapping(found: Found) -> Found:
    return found


def _with_strays(found: Found) -> Found:
    return {**found, "strays": tuple(Stray(**stray) for stray in found.get("strays", ()))}


def _with_gates(found: Found) -> Found:
    return {**found, "gates": tuple(_gate(each) for each in found.get("gates", ()))}


def _gate(found: Found) -> Gate:
    lists = {name: tuple(found.get(name, ())) for name in ("when", "configured_by", "looks_at")}
    report, source = GateReport(found["report"]), found.get("source", GateSource.ASKED)
    return Gate(**{**found, **lists, "report": report, "source": GateSource(source)})


def _gate_result(found: Found) -> GateResult:
    status, failures = GateStatus(found["status"]), tuple(found["failures"])
    cause = GateCause(found["cause"]) if found.get("cause") else None
    names = ("judges", "new_tests", "looks_at", "not_imported", "flaky", "switched_off")
    lists = {name: tuple(found.get(name, ())) for name in names}
    lists["failures"] = failures
    return GateResult(**{**found, **lists, "status": status, "cause": cause})
