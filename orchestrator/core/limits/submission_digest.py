"""Fingerprints of submissions, by which repeated requests are recognized. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from operator import attrgetter
from typing import Any

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.submission import Submission
from orchestrator.core.text.formatting import one_line

#: Task fields that are newer than some stored digests, with their defaults. A digest includes such
#: a field only if a task sets it, so that stored digests stay valid.
_NEWER: Mapping[str, object] = {
    "approve": "",
    "on_timeout": "",
    "workdir": "own",
    "writes": (),
    "candidate_settings": (),
    "requires": {},
    "node": "",
}
_TASK_FIELDS = tuple(each.name for each in fields(TaskSpec) if each.name not in _NEWER)
_fields_of, _newer_of = attrgetter(*_TASK_FIELDS), attrgetter(*_NEWER)


def fold(text: str) -> str:
    return one_line(text).casefold()


def digest(request: str, tasks: Iterable[TaskSpec]) -> str:
    """Return a fingerprint of a request with its tasks. Equal requests have equal fingerprints."""
    return _fingerprint([fold(request), [_digested_fields(task) for task in tasks]])


def settings_digest(submission: Submission) -> str:
    """Return a fingerprint of a submission's settings and callback."""
    config = submission.config
    return _fingerprint(
        [{name: config.get(name) for name in config.fields_set}, submission.callback]
    )


def _fingerprint(value: object) -> str:
    # Keys are sorted, because the order of insertion must not change the digest.
    text = json.dumps(value, sort_keys=True, default=_as_dict)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digested_fields(task: TaskSpec) -> list[object]:
    newer_fields = zip(_NEWER.items(), _newer_of(task), strict=True)
    newer_values = {name: value for (name, default), value in newer_fields if value != default}
    return [*_fields_of(task), *([newer_values] if newer_values else [])]


def _as_dict(value: Any) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)
