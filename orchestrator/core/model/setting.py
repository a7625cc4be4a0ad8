"""Columns of the table of job settings (``job_settings``)."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

#: The key of a ``Setting`` in the metadata of its field.
DECLARED = "setting"


class Kind(Enum):
    """Type of a value. ``schemas/requests`` and ``cli/plan`` have a Python type for each kind."""

    #: A whole number from 1.
    COUNT = auto()
    #: A whole number from 0.
    COUNT_OR_ZERO = auto()
    #: Seconds, more than 0.
    SECONDS = auto()
    #: US dollars, more than 0.
    MONEY = auto()
    #: True or false.
    FLAG = auto()
    #: A word, such as an agent's name.
    NAME = auto()
    #: Any text.
    TEXT = auto()
    #: A branch, tag, or commit.
    REVISION = auto()
    #: Paths of files.
    PATHS = auto()
    #: The caller's own names and values.
    LABELS = auto()
    #: Gates for results.
    GATES = auto()


class Inheritance(Enum):
    """How a child job's value is derived from its request and from the parent job's value."""

    #: The requested value; otherwise the parent job's.
    ASKED = auto()
    #: The parent job's value, or a smaller requested value.
    AT_MOST = auto()
    #: The parent job's value, or a requested value that comes later in the choices.
    AT_LEAST = auto()
    #: The parent job's value, whatever the child job requests.
    PARENT = auto()
    #: The parent job's value and the requested value together.
    BOTH = auto()
    #: The requested value; otherwise the default of the table.
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Option:
    """Option of ``run`` and ``submit`` that sets a setting."""

    flag: str
    help: str
    #: Placeholder of the value in ``--help``.
    value: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting of a job that a caller can set, or that config.yaml sets for all jobs."""

    #: Name of the setting's field in ``JobConfig``; the table fills it in.
    name: str = ""
    #: Name in requests and answers; default: the name of the field.
    wire: str = ""
    description: str
    #: The kind of value, or the values that can be chosen.
    values: Kind | tuple[str, ...]
    #: Value of a new job if neither its request nor config.yaml sets it.
    default: object
    #: The key of config.yaml with the default for all jobs, such as ``workers.agent``.
    server: str = ""
    #: The setting's ceiling: the name of a field of ``core.limits.quotas.Ceilings``.
    ceiling: str = ""
    child: Inheritance = Inheritance.ASKED
    #: True if the retry of a job may change the setting.
    on_retry: bool = False
    #: True if requests may contain the setting.
    in_request: bool = True
    #: True if ``engine/submission`` computes the job's value from the request.
    resolved: bool = False
    #: The option of ``run`` and ``submit``; None: no option.
    option: Option | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        return () if isinstance(self.values, Kind) else self.values


def setting(
    values: Kind | tuple[str, ...],
    description: str,
    *,
    default: object,
    older: object = None,
    wire: str = "",
    server: str = "",
    ceiling: str = "",
    child: Inheritance = Inheritance.ASKED,
    on_retry: bool = False,
    in_request: bool = True,
    resolved: bool = False,
    option: Option | None = None,
) -> Any:
    """Return a field of the table, with the columns of ``Setting``.

    ``older``: value for jobs that were stored before the setting existed; None: the default.
    """
    row = Setting(
        values=values,
        description=description,
        default=default,
        wire=wire,
        server=server,
        ceiling=ceiling,
        child=child,
        on_retry=on_retry,
        in_request=in_request,
        resolved=resolved,
        option=option,
    )
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={DECLARED: row})
    return field(default=default if older is None else older, metadata={DECLARED: row})
