"""Ids and names in paths: an invalid one is answered with 404, and reaches no lower layer."""

import re

from orchestrator.core.errors import NoSuchJob, NotFound

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
WORKER_ID = re.compile(r"worker(_[0-9]{1,9}){1,1000}")
REPORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
LONGEST_REPORT_NAME = 128


def checked_job_id(name: str) -> str:
    if not JOB_ID.fullmatch(name):
        raise NoSuchJob("with this id", "; list the jobs: GET /api/v1/jobs")
    return name


def checked_worker_id(name: str) -> str:
    if not WORKER_ID.fullmatch(name):
        raise NotFound("no worker with this id; ids are worker_1, worker_2_1, and so on")
    return name


def checked_report_name(name: str) -> str:
    """Return the plain file name of a report; the prefix ``reports/`` is optional. Raise
    NotFound.
    """
    plain = name.removeprefix("reports/")
    if len(plain) > LONGEST_REPORT_NAME or not REPORT_NAME.fullmatch(plain):
        raise NotFound(
            "no report with this name; names are FINAL_RESULT.md, LEVEL_0_REPORT.md, tree.txt, "
            "analytics.json, and others in reports/"
        )
    return plain
