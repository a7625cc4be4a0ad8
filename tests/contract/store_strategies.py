"""Strategies for all values that the store saves, with all their fields."""

from typing import Any

from hypothesis import strategies as st

from orchestrator.core.events import Event, EventKind
from orchestrator.core.gates.gate import Gate, GateReport, GateResult, GateSource, GateStatus
from orchestrator.core.model.attempt.attempt_result import (
    ChangeSize,
    EndedBy,
    Exit,
    LeftoverProcess,
    Usage,
)
from orchestrator.core.model.attempt.delivered_work import DeliveredWork, SideWork, SideWorkKind
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.failure import Rollback
from orchestrator.core.model.human_input.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.human_input.question import Decision, Question
from orchestrator.core.model.job import (
    Attempt,
    Callback,
    CandidateSettings,
    Job,
    TaskSpec,
    WaitingFor,
    Worker,
)
from orchestrator.core.model.job_facts import (
    CheckoutChange,
    JobFacts,
    LossCause,
    Missing,
    Shortfall,
    SwitchedOff,
    UnjudgedCause,
    UnjudgedFile,
    UnjudgedWork,
)
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import (
    JobStatus,
    MergeState,
    StopCause,
    WaitKind,
    WorkerKind,
    WorkerStatus,
)
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from tests.contract.store_values import HARD_TEXT

texts = st.one_of(st.text(st.characters(exclude_categories=())), st.just(HARD_TEXT))
counts = st.integers(0, 2**31 - 1)
large_counts = st.integers(0, 2**63 - 1)
times = st.floats(allow_nan=False, allow_infinity=False)
several = st.lists(texts, max_size=3).map(tuple)
labels = st.dictionaries(texts, texts, max_size=3)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


strays = st.lists(st.builds(LeftoverProcess, pid=counts, command=texts), max_size=2).map(tuple)
usages = st.builds(
    Usage,
    steps=maybe(counts),
    input_tokens=maybe(large_counts),
    output_tokens=maybe(large_counts),
    cost_usd=maybe(times),
)
gates = st.lists(
    st.builds(
        Gate,
        name=texts,
        run=texts,
        when=several,
        timeout=times,
        report=st.sampled_from(GateReport),
        required=st.booleans(),
        new_only=st.booleans(),
        tests_may_vanish=st.booleans(),
        tests_may_change=st.booleans(),
        is_of_files=st.booleans(),
        source=st.sampled_from(GateSource),
        why=texts,
        program=texts,
        configured_by=several,
        looks_at=several,
        by_imports=st.booleans(),
    ),
    max_size=2,
).map(tuple)
gate_results = st.lists(
    st.builds(
        GateResult,
        name=texts,
        status=st.sampled_from(GateStatus),
        seconds=times,
        failures=several,
        known=counts,
        tests=maybe(counts),
        output=texts,
        note=texts,
        log=texts,
        judges=several,
        looks_at=several,
        not_imported=several,
        switched_off=several,
    ),
    max_size=2,
).map(tuple)
exits = st.builds(
    Exit,
    ended_by=st.sampled_from(EndedBy),
    code=maybe(st.integers(-255, 255)),
    signal=maybe(counts),
    error=texts,
    cause=st.sampled_from(ExitCause),
    stopped_by=texts,
    started_at=times,
    ended_at=times,
    cpu_seconds=times,
    peak_memory_bytes=large_counts,
    log_bytes=large_counts,
    log_truncated=st.booleans(),
    log_lost=st.booleans(),
    strays=strays,
)
results = st.builds(
    WorkerResult,
    output=texts,
    files_created=several,
    usage=usages,
    exit_code=maybe(st.integers(-255, 255)),
    signal=maybe(counts),
    work_seconds=times,
    cpu_seconds=times,
    peak_memory_bytes=large_counts,
    log_truncated=st.booleans(),
    strays=strays,
    gates=gate_results,
    rollbacks=st.lists(
        st.builds(
            Rollback,
            at=times,
            by=texts,
            attempt=counts,
            checkpoint=texts,
            commit=texts,
            kept=texts,
        ),
        max_size=2,
    ).map(tuple),
    change=maybe(st.builds(ChangeSize, files=counts, added=large_counts, removed=counts)),
    delivery=maybe(
        st.builds(
            DeliveredWork,
            changed=st.booleans(),
            expected=st.booleans(),
            missing=several,
            ignored=several,
            saved=several,
            checkout=several,
            outside=several,
            has_worktree=st.booleans(),
            code=several,
        )
    ),
    standing=maybe(
        st.builds(
            CandidateRank,
            place=counts,
            by=st.sampled_from(Criterion),
            why=texts,
            review=maybe(counts),
            remark=texts,
        )
    ),
)
configs = st.builds(
    JobConfig,
    max_workers=counts,
    default_timeout=times,
    max_retries=counts,
    retries_asked=st.booleans(),
    timeout_replaced=st.booleans(),
    retries_replaced=st.booleans(),
    execution_mode=texts,
    enable_recursion=st.booleans(),
    max_depth=counts,
    agent=texts,
    max_wall_seconds=times,
    max_total_workers=maybe(counts),
    max_steps=maybe(counts),
    max_tokens=maybe(large_counts),
    max_cost_usd=maybe(times),
    merge_strategy=texts,
    git=texts,
    gates=gates,
    planner=texts,
    labels=labels,
)
tasks = st.builds(
    TaskSpec,
    id=texts,
    title=texts,
    prompt=texts,
    command=maybe(texts | several),
    agents=several,
    candidate_settings=st.lists(
        st.builds(CandidateSettings, model=maybe(texts), timeout=maybe(times), context=texts),
        max_size=2,
    ).map(tuple),
    depends_on=several,
    timeout=maybe(times),
    retries=maybe(counts),
    role=maybe(texts),
    model=maybe(texts),
    files=several,
    writes=several,
    context=texts,
    env=labels,
    max_steps=maybe(counts),
    max_tokens=maybe(large_counts),
    max_cost_usd=maybe(times),
    gates=gates,
    locks=several,
    review=texts,
    approve=texts,
    on_timeout=texts,
)


pauses = st.builds(
    Pause,
    at=times,
    by=texts,
    running=st.sampled_from(RunningMode),
    cause=st.sampled_from(PauseCause),
    job_id=texts,
)
facts = st.builds(
    JobFacts,
    plan_error=texts,
    merge_error=texts,
    taken=several,
    undone=several,
    missing=st.lists(
        st.builds(
            Missing,
            worker_id=texts,
            job_id=texts,
            branch=texts,
            why=texts,
            in_part=st.booleans(),
            cause=st.sampled_from(LossCause),
            paths=several,
        ),
        max_size=2,
    ).map(tuple),
    shortfalls=st.lists(
        st.builds(
            Shortfall,
            worker_id=texts,
            outside=several,
            checkout=several,
            judges=several,
            saved=several,
            has_worktree=st.booleans(),
            deleted=st.lists(
                st.builds(SideWork, kind=st.just(SideWorkKind.DELETED), name=texts, ref=texts),
                max_size=2,
            ).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    switched_off=st.lists(st.builds(SwitchedOff, gate=texts, places=several), max_size=2).map(
        tuple
    ),
    unjudged_files=st.lists(
        st.builds(UnjudgedFile, path=texts, language=texts, cause=st.sampled_from(UnjudgedCause)),
        max_size=2,
    ).map(tuple),
    unjudged_work=st.lists(
        st.builds(UnjudgedWork, worker_id=texts, files=several, beside=several), max_size=2
    ).map(tuple),
    checkout=st.lists(st.builds(CheckoutChange, path=texts, workers=several), max_size=2).map(
        tuple
    ),
)


questions = st.builds(
    Question,
    asked_at=times,
    due_at=maybe(times),
    decision=maybe(st.sampled_from(Decision)),
    by=texts,
    comment=texts,
    answered_at=maybe(times),
)


def jobs(id: str) -> st.SearchStrategy[Job]:
    return st.builds(
        Job,
        id=st.just(id),
        root_id=st.just(id),
        depth=counts,
        request=texts,
        config=configs,
        status=st.sampled_from(JobStatus),
        reason=texts,
        parent_worker_id=maybe(texts),
        digest=texts,
        submitted_by=texts,
        idempotency_key=maybe(texts),
        plan_source=texts,
        created_at=times,
        started_at=maybe(times),
        ended_at=maybe(times),
        cancelled_by=maybe(texts),
        stop_cause=maybe(st.sampled_from(StopCause)),
        merge_state=st.sampled_from(MergeState),
        awaits_approval=st.booleans(),
        pause=maybe(pauses),
        paused_seconds=times,
        facts=facts,
        callback=maybe(st.builds(Callback, url=texts, events=several)),
    )


def workers(job: Job) -> st.SearchStrategy[Worker]:
    return st.builds(
        Worker,
        id=texts,
        job_id=st.just(job.id),
        root_id=st.just(job.root_id),
        task_id=texts,
        index=counts,
        kind=st.sampled_from(WorkerKind),
        depth=counts,
        agent=texts,
        status=st.sampled_from(WorkerStatus),
        reason=texts,
        waiting_for=maybe(st.builds(WaitingFor, st.sampled_from(WaitKind), texts)),
        attempt=counts,
        budget_from=counts,
        failure=texts,
        not_before=times,
        child_job_ids=several,
        child_workers=counts,
        started_at=maybe(times),
        ended_at=maybe(times),
        result=maybe(results),
        question=maybe(questions),
    )


def attempts(worker: Worker) -> st.SearchStrategy[Attempt]:
    return st.builds(
        Attempt,
        root_id=st.just(worker.root_id),
        worker_id=st.just(worker.id),
        number=counts,
        job_id=st.just(worker.job_id),
        started_at=times,
        token_hash=texts,
        ended_at=maybe(times),
        exit=maybe(exits),
        reason=texts,
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | times | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def events(job: Job) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        root_id=st.just(job.root_id),
        seq=st.integers(1, 2**63 - 1),
        job_id=texts,
        kind=st.sampled_from(EventKind),
        at=times,
        worker_id=maybe(texts),
        data=st.dictionaries(texts, json_values, max_size=3),
    )
