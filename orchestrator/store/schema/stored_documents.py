"""Creates values of the core from the JSON documents in the database.

A document of an earlier release may lack a field, have a removed field, or have an earlier type.
"""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.core.gates.gate import (
    Gate,
    GateCause,
    GateReport,
    GateResult,
    GateSource,
    GateStatus,
)
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.attempt.attempt_result import (
    ChangeSize,
    EndedBy,
    Exit,
    PromptSize,
    Stray,
    Usage,
    cause_of,
)
from orchestrator.core.model.attempt.delivered_work import (
    DeliveredWork,
    HeldBack,
    HeldBackRule,
    Intent,
    SideWork,
    SideWorkKind,
)
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.failure import Failure, FailureKind, RetryStrategy, Rollback
from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.model.human_input import (
    Comment,
    Decision,
    Feedback,
    Pause,
    PauseCause,
    Question,
    RunningMode,
    Side,
    WorkerMessage,
)
from orchestrator.core.model.job import Callback, CandidateSettings, TaskSpec, WaitingFor
from orchestrator.core.model.job_facts import (
    CapPassed,
    CheckoutChange,
    EarlierPart,
    FlakyGate,
    GateFact,
    JobFacts,
    Landed,
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
from orchestrator.core.model.job_settings import SETTINGS, JobConfig, ValueKind
from orchestrator.core.model.repository_changes import read_change
from orchestrator.core.model.states import WaitKind
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult

_TUPLES_OF_CONFIG = tuple(each.name for each in SETTINGS if each.values is ValueKind.PATHS)
_TUPLES_OF_TASK = ("agents", "depends_on", "files", "writes", "locks")

Found = dict[str, Any]


def read_config(found: Found) -> JobConfig:
    for name in _TUPLES_OF_CONFIG:
        if name in found:
            found[name] = tuple(found[name])
    return JobConfig(**_with_gates(found))


def read_task(found: Found) -> TaskSpec:
    for name in _TUPLES_OF_TASK:
        if name in found:
            found[name] = tuple(found[name])
    if isinstance(found.get("command"), list):
        found["command"] = tuple(found["command"])
    if "candidate_settings" in found:
        own = found["candidate_settings"]
        found["candidate_settings"] = tuple(CandidateSettings(**each) for each in own)
    return TaskSpec(**_with_gates(found))


def read_exit(found: Found) -> Exit:
    ended_by = EndedBy(found["ended_by"])
    if "cause" in found:
        cause = ExitCause(found["cause"])
    else:
        cause = cause_of(ended_by, found.get("error", ""), found.get("stopped_by", ""))
    return Exit(
        **{
            **found,
            "strays": tuple(Stray(**stray) for stray in found.get("strays", ())),
            "ended_by": ended_by,
            "cause": cause,
        }
    )


def read_result(found: Found) -> WorkerResult:
    for name, value in found.items():
        if value is not None and name in _OF_RESULT:
            found[name] = _OF_RESULT[name](value)
    return WorkerResult(**found)


def _each(read: Callable[[Any], object]) -> Callable[[list[Any]], tuple[object, ...]]:
    return lambda found: tuple([read(each) for each in found])


def _read_standing(found: Found) -> CandidateRank:
    return CandidateRank(**{**found, "by": Criterion(found["by"])})


def _read_feedback(found: Found) -> Feedback:
    comments = (Comment(**{**each, "side": Side(each["side"])}) for each in found["comments"])
    return Feedback(**{**found, "comments": tuple(comments)})


def read_session(found: Found) -> Session:
    return Session(**found)


def _read_delivery(found: Found) -> DeliveredWork:
    listed = "missing", "ignored", "saved", "outside", "checkout", "omitted", "code", "removed"
    paths = {name: tuple(found.get(name, ())) for name in listed}
    deferred = found.get("deferred")
    own = {
        "intent": Intent(found.get("intent", Intent.ANSWER)),
        "deferred": None if deferred is None else FinalText(deferred),
        "side_work": _read_side_work(found),
        "held_back": _read_held_back(found),
    }
    return DeliveredWork(**{**found, **paths, **own})


def _read_held_back(found: Found) -> tuple[HeldBack, ...]:
    listed = found.get("held_back", ())
    return tuple(HeldBack(**{**each, "rule": HeldBackRule(each["rule"])}) for each in listed)


def _read_side_work(found: Found, name: str = "side_work") -> tuple[SideWork, ...]:
    listed = found.get(name, ())
    return tuple(SideWork(**{**each, "kind": SideWorkKind(each["kind"])}) for each in listed)


def _read_failure(found: Found) -> Failure:
    kind, strategy = FailureKind(found["kind"]), RetryStrategy(found["strategy"])
    listed = {name: tuple(found.get(name, ())) for name in ("gates", "gate_logs")}
    return Failure(**{**found, "kind": kind, "strategy": strategy, **listed})


def read_facts(found: Found) -> JobFacts:
    for name, value in found.items():
        if value is not None and name in _OF_FACTS:
            found[name] = _OF_FACTS[name](value)
    return JobFacts(**found)


def _read_gate(found: Found) -> GateFact:
    found.pop("passed", None)  # a field of earlier releases
    return GateFact(**{**found, "cause": GateCause(found["cause"]) if found["cause"] else None})


def _read_flaky(found: Found) -> FlakyGate:
    return FlakyGate(**{**found, "findings": tuple(found["findings"])})


def _read_checkout(found: Found) -> CheckoutChange:
    return CheckoutChange(path=found["path"], workers=tuple(found["workers"]))


def _read_unjudged_file(found: Found) -> UnjudgedFile:
    return UnjudgedFile(**{**found, "cause": UnjudgedCause(found["cause"])})


def _read_switched_off(found: Found) -> SwitchedOff:
    return SwitchedOff(gate=found["gate"], places=tuple(found["places"]))


def _read_unjudged_work(found: Found) -> UnjudgedWork:
    return UnjudgedWork(
        worker_id=found["worker_id"],
        files=tuple(found["files"]),
        beside=tuple(found.get("beside", ())),
    )


def _read_missing(found: Found) -> Missing:
    cause = LossCause(found.get("cause", LossCause.CONFLICT))
    return Missing(**{**found, "cause": cause, "paths": tuple(found.get("paths", ()))})


def _read_overruled(found: Found) -> Overruled:
    return Overruled(**{**found, "places": tuple(found.get("places", ()))})


def _read_shortfall(found: Found) -> Shortfall:
    names = ("outside", "checkout", "judges", "saved")
    paths = {name: tuple(found.get(name, ())) for name in names}
    return Shortfall(
        worker_id=found["worker_id"],
        unchanged=bool(found.get("unchanged")),
        has_worktree=bool(found.get("has_worktree", True)),
        judges_with_code=bool(found.get("judges_with_code")),
        **paths,
        held_back=_read_held_back(found),
        deleted=_read_side_work(found, "deleted"),
    )


def read_pause(found: Found) -> Pause:
    running, cause = RunningMode(found["running"]), PauseCause(found["cause"])
    return Pause(**{**found, "running": running, "cause": cause})


def read_callback(found: Found) -> Callback:
    return Callback(url=found["url"], events=tuple(found["events"]))


def read_question(found: Found) -> Question:
    decision = found["decision"]
    return Question(**{**found, "decision": Decision(decision) if decision else None})


def read_waiting(found: Found) -> WaitingFor:
    return WaitingFor(kind=WaitKind(found["kind"]), name=found.get("name", ""))


#: Functions that convert a field of a result from JSON. Other fields stay unchanged.
_OF_RESULT: Mapping[str, Callable[[Any], object]] = {
    "files_created": tuple,
    "usage": lambda found: Usage(**found),
    "usage_before": lambda found: Usage(**found),
    "strays": _each(lambda found: Stray(**found)),
    "prompt": lambda found: PromptSize(**found),
    "gates": _each(lambda found: _gate_result(found)),
    "failures": _each(_read_failure),
    "rollbacks": _each(lambda found: Rollback(**found)),
    "conflicts": tuple,
    "change": lambda found: ChangeSize(**found),
    "delivery": _read_delivery,
    "standing": _read_standing,
    "session": read_session,
    "feedback": _each(_read_feedback),
    "messages": _each(lambda found: WorkerMessage(**found)),
}


#: Functions that convert a field of a job's facts from JSON. Other fields stay unchanged.
_OF_FACTS: Mapping[str, Callable[[Any], object]] = {
    "plan_fallback": lambda found: PlanFallback(**found) if found else None,
    "missing": _each(_read_missing),
    "lost_below": _each(_read_missing),
    "not_in_parent": tuple,
    "taken": tuple,
    "taken_jobs": tuple,
    "overruled": _each(_read_overruled),
    "overruled_below": _each(_read_overruled),
    "undone": tuple,
    "both_kept": tuple,
    "by_driver": tuple,
    "shortfalls": _each(_read_shortfall),
    "gates": _each(_read_gate),
    "flaky": _each(_read_flaky),
    "gates_passed": tuple,
    "unjudged_files": _each(_read_unjudged_file),
    "switched_off": _each(_read_switched_off),
    "unjudged_work": _each(_read_unjudged_work),
    "checkout": _each(_read_checkout),
    "caps_passed": _each(lambda found: CapPassed(**found)),
    "earlier_parts": _each(lambda found: EarlierPart(**found)),
    "landed_on": tuple,
    "unpriced": tuple,
    "unsuccessful": tuple,
    "repository_changes": _each(read_change),
    "landed": _each(lambda found: Landed(**found)),
}


def read_names(found: list[str]) -> tuple[str, ...]:
    return tuple(found)


def read_mapping(found: Found) -> Found:
    return found


def _with_gates(found: Found) -> Found:
    return {**found, "gates": tuple(_gate(each) for each in found.get("gates", ()))}


def _gate(found: Found) -> Gate:
    lists = {name: tuple(found.get(name, ())) for name in ("when", "configured_by", "looks_at")}
    report, source = GateReport(found["report"]), found.get("source", GateSource.ASKED)
    return Gate(**{**found, **lists, "report": report, "source": GateSource(source)})


def _gate_result(found: Found) -> GateResult:
    found.pop("failed_tests", None)  # a field of earlier releases
    status, failures = GateStatus(found["status"]), tuple(found["failures"])
    cause = GateCause(found["cause"]) if found.get("cause") else None
    names = ("judges", "new_tests", "looks_at", "not_imported", "flaky", "switched_off")
    lists = {name: tuple(found.get(name, ())) for name in names}
    lists["failures"] = failures
    return GateResult(**{**found, **lists, "status": status, "cause": cause})
