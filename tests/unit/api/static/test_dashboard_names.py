"""Names in the dashboard's scripts that must be the same as in the server."""

import re
from pathlib import Path

import orchestrator
from orchestrator.core.outcome.job.human_needs import NeedKind

APP = Path(orchestrator.__file__).parent / "api/static/app"


def test_the_list_of_jobs_that_need_a_person_has_every_kind_of_need() -> None:
    source = (APP / "pages/jobs.js").read_text("utf-8")
    [listed] = re.findall(r"const NEEDS = \[(.*?)\];", source)

    assert set(re.findall(r'"(\w+)"', listed)) == set(NeedKind)
