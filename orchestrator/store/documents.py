"""Nested values as they come out of JSON documents: lists are tuples again, words are enums.

Writing needs no counterpart: a value is written with all its fields. A field that a document
lacks, because it was written before the field existed, gets its default.
"""

from typing import Any

from orchestrator.core.model import (
    EndedBy,
    Exit,
    JobConfig,
    PromptSize,
    Stray,
    TaskSpec,
    Usage,
    WorkerResult,
)

_TUPLES_OF_TASK = ("agents", "depends_on", "files")

Found = dict[str, Any]


def read_config(found: Found) -> JobConfig:
    if "context_files" in found:
        found["context_files"] = tuple(found["context_files"])
    return JobConfig(**found)


def read_task(found: Found) -> TaskSpec:
    for name in _TUPLES_OF_TASK:
        if name in found:
            found[name] = tuple(found[name])
    if isinstance(found.get("command"), list):
        found["command"] = tuple(found["command"])
    return TaskSpec(**found)


def read_exit(found: Found) -> Exit:
    return Exit(**{**_with_strays(found), "ended_by": EndedBy(found["ended_by"])})


def read_result(found: Found) -> WorkerResult:
    if "files_created" in found:
        found["files_created"] = tuple(found["files_created"])
    for name in ("usage", "usage_before"):
        if found.get(name) is not None:
            found[name] = Usage(**found[name])
    if found.get("prompt") is not None:
        found["prompt"] = PromptSize(**found["prompt"])
    return WorkerResult(**_with_strays(found))


def read_names(found: list[str]) -> tuple[str, ...]:
    return tuple(found)


def read_mapping(found: Found) -> Found:
    return found


def _with_strays(found: Found) -> Found:
    return {**found, "strays": tuple(Stray(**stray) for stray in found.get("strays", ()))}
