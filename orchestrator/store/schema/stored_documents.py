"""Creates objects of ``core.model`` from the JSON documents in the database.

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
    LeftoverProcess,
    PromptSize,
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
from orchestrator.core.model.human_input.feedback import Comment, Feedback, Side
from orchestrator.core.model.human_input.messages import WorkerMessage
from orchestrator.core.model.human_input.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.human_input.question import Decision, Question
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
from orchestrator.core.model.states import WaitKind
from orchestrator.core.model.user_repository_changes import read_change
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult

_TUPLES_OF_CONFIG = tuple(each.name for each in SETTINGS if each.values is ValueKind.PATHS)
_TUPLES_OF_TASK = ("agents", "depends_on", "files", "writes", "locks")

Fields = dict[str, Any]


def read_config(fields: Fields) -> JobConfig:
    for name in _TUPLES_OF_CONFIG:
        if name in fields:
            fields[name] = tuple(fields[name])
    return JobConfig(**_with_gates(fields))


def read_task(fields: Fields) -> TaskSpec:
    for name in _TUPLES_OF_TASK:
        if name in fields:
            fields[name] = tuple(fields[name])
    if isinstance(fields.get("command"), list):
        fields["command"] = tuple(fields["command"])
    if "candidate_settings" in fields:
        settings = fields["candidate_settings"]
        fields["candidate_settings"] = tuple(CandidateSettings(**each) for each in settings)
    return TaskSpec(**_with_gates(fields))


def read_exit(fields: Fields) -> Exit:
    ended_by = EndedBy(fields["ended_by"])
    if "cause" in fields:
        cause = ExitCause(fields["cause"])
    else:
        cause = cause_of(ended_by, fields.get("error", ""), fields.get("stopped_by", ""))
    return Exit(
        **{
            **fields,
            "strays": tuple(LeftoverProcess(**stray) for stray in fields.get("strays", ())),
            "ended_by": ended_by,
            "cause": cause,
        }
    )


def read_result(fields: Fields) -> WorkerResult:
    for name, value in fields.items():
        if value is not None and name in _RESULT_READERS:
            fields[name] = _RESULT_READERS[name](value)
    return WorkerResult(**fields)


def _each(read: Callable[[Any], object]) -> Callable[[list[Any]], tuple[object, ...]]:
    return lambda documents: tuple([read(each) for each in documents])


def _read_standing(fields: Fields) -> CandidateRank:
    return CandidateRank(**{**fields, "by": Criterion(fields["by"])})


def _read_feedback(fields: Fields) -> Feedback:
    comments = (Comment(**{**each, "side": Side(each["side"])}) for each in fields["comments"])
    return Feedback(**{**fields, "comments": tuple(comments)})


def read_session(fields: Fields) -> Session:
    return Session(**fields)


def _read_delivery(fields: Fields) -> DeliveredWork:
    list_names = "missing", "ignored", "saved", "outside", "checkout", "omitted", "code", "removed"
    paths = {name: tuple(fields.get(name, ())) for name in list_names}
    deferred = fields.get("deferred")
    converted = {
        "intent": Intent(fields.get("intent", Intent.ANSWER)),
        "deferred": None if deferred is None else FinalText(deferred),
        "side_work": _read_side_work(fields),
        "held_back": _read_held_back(fields),
    }
    return DeliveredWork(**{**fields, **paths, **converted})


def _read_held_back(fields: Fields) -> tuple[HeldBack, ...]:
    entries = fields.get("held_back", ())
    return tuple(HeldBack(**{**each, "rule": HeldBackRule(each["rule"])}) for each in entries)


def _read_side_work(fields: Fields, name: str = "side_work") -> tuple[SideWork, ...]:
    entries = fields.get(name, ())
    return tuple(SideWork(**{**each, "kind": SideWorkKind(each["kind"])}) for each in entries)


def _read_failure(fields: Fields) -> Failure:
    kind, strategy = FailureKind(fields["kind"]), RetryStrategy(fields["strategy"])
    lists = {name: tuple(fields.get(name, ())) for name in ("gates", "gate_logs")}
    return Failure(**{**fields, "kind": kind, "strategy": strategy, **lists})


def read_facts(fields: Fields) -> JobFacts:
    for name, value in fields.items():
        if value is not None and name in _FACTS_READERS:
            fields[name] = _FACTS_READERS[name](value)
    return JobFacts(**fields)


def _read_gate(fields: Fields) -> GateFact:
    fields.pop("passed", None)  # a field of earlier releases
    return GateFact(**{**fields, "cause": GateCause(fields["cause"]) if fields["cause"] else None})


def _read_flaky(fields: Fields) -> FlakyGate:
    return FlakyGate(**{**fields, "findings": tuple(fields["findings"])})


def _read_checkout(fields: Fields) -> CheckoutChange:
    return CheckoutChange(path=fields["path"], workers=tuple(fields["workers"]))


def _read_unjudged_file(fields: Fields) -> UnjudgedFile:
    return UnjudgedFile(**{**fields, "cause": UnjudgedCause(fields["cause"])})


def _read_switched_off(fields: Fields) -> SwitchedOff:
    return SwitchedOff(gate=fields["gate"], places=tuple(fields["places"]))


def _read_unjudged_work(fields: Fields) -> UnjudgedWork:
    return UnjudgedWork(
        worker_id=fields["worker_id"],
        files=tuple(fields["files"]),
        beside=tuple(fields.get("beside", ())),
    )


def _read_missing(fields: Fields) -> Missing:
    cause = LossCause(fields.get("cause", LossCause.CONFLICT))
    lists = {name: tuple(fields.get(name, ())) for name in ("paths", "child_job_ids")}
    return Missing(**{**fields, "cause": cause, **lists})


def _read_overruled(fields: Fields) -> Overruled:
    return Overruled(**{**fields, "places": tuple(fields.get("places", ()))})


def _read_shortfall(fields: Fields) -> Shortfall:
    names = ("outside", "checkout", "judges", "altered_settings", "saved")
    paths = {name: tuple(fields.get(name, ())) for name in names}
    return Shortfall(
        worker_id=fields["worker_id"],
        unchanged=bool(fields.get("unchanged")),
        has_worktree=bool(fields.get("has_worktree", True)),
        judges_with_code=bool(fields.get("judges_with_code")),
        **paths,
        held_back=_read_held_back(fields),
        deleted=_read_side_work(fields, "deleted"),
    )


def read_pause(fields: Fields) -> Pause:
    running, cause = RunningMode(fields["running"]), PauseCause(fields["cause"])
    return Pause(**{**fields, "running": running, "cause": cause})


def read_callback(fields: Fields) -> Callback:
    return Callback(url=fields["url"], events=tuple(fields["events"]))


def read_question(fields: Fields) -> Question:
    decision = fields["decision"]
    return Question(**{**fields, "decision": Decision(decision) if decision else None})


def read_waiting(fields: Fields) -> WaitingFor:
    return WaitingFor(kind=WaitKind(fields["kind"]), name=fields.get("name", ""))


#: Functions that convert a field of a result from JSON. Other fields stay unchanged.
_RESULT_READERS: Mapping[str, Callable[[Any], object]] = {
    "files_created": tuple,
    "usage": lambda fields: Usage(**fields),
    "usage_before": lambda fields: Usage(**fields),
    "strays": _each(lambda fields: LeftoverProcess(**fields)),
    "prompt": lambda fields: PromptSize(**fields),
    "gates": _each(lambda fields: _gate_result(fields)),
    "failures": _each(_read_failure),
    "rollbacks": _each(lambda fields: Rollback(**fields)),
    "conflicts": tuple,
    "change": lambda fields: ChangeSize(**fields),
    "delivery": _read_delivery,
    "standing": _read_standing,
    "session": read_session,
    "feedback": _each(_read_feedback),
    "messages": _each(lambda fields: WorkerMessage(**fields)),
}


#: Functions that convert a field of a job's facts from JSON. Other fields stay unchanged.
_FACTS_READERS: Mapping[str, Callable[[Any], object]] = {
    "plan_fallback": lambda fields: PlanFallback(**fields) if fields else None,
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
    "caps_passed": _each(lambda fields: CapPassed(**fields)),
    "earlier_parts": _each(lambda fields: EarlierPart(**fields)),
    "landed_on": tuple,
    "unpriced": tuple,
    "unsuccessful": tuple,
    "repository_changes": _each(read_change),
    "landed": _each(lambda fields: Landed(**fields)),
}


def read_names(names: list[str]) -> tuple[str, ...]:
    return tuple(names)


def read_mapping(fields: Fields) -> Fields:
    return fields


def _with_gates(fields: Fields) -> Fields:
    return {**fields, "gates": tuple(_gate(each) for each in fields.get("gates", ()))}


def _gate(fields: Fields) -> Gate:
    lists = {name: tuple(fields.get(name, ())) for name in ("when", "configured_by", "looks_at")}
    report, source = GateReport(fields["report"]), fields.get("source", GateSource.REQUESTED)
    return Gate(**{**fields, **lists, "report": report, "source": GateSource(source)})


def _gate_result(fields: Fields) -> GateResult:
    fields.pop("failed_tests", None)  # a field of earlier releases
    status, failures = GateStatus(fields["status"]), tuple(fields["failures"])
    cause = GateCause(fields["cause"]) if fields.get("cause") else None
    names = ("judges", "altered_settings", "new_tests", "looks_at", "not_imported", "flaky")
    lists = {name: tuple(fields.get(name, ())) for name in (*names, "switched_off")}
    lists["failures"] = failures
    return GateResult(**{**fields, **lists, "status": status, "cause": cause})
