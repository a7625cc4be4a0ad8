"""docs/agents.md lists every row of the table of ends."""

import re
from pathlib import Path

from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import TABLE, OutcomeRow
from orchestrator.core.outcome.retry_policy import TOOL_START_DELAYS

PAGE = Path(__file__).parents[4] / "docs" / "agents.md"
FREE = {
    "agent: rate_limit": "yes, free",
    "agent: start": (
        "if the tool worked before: up to three free retries, after {:g}, {:g}, and {:g} s; "
        "otherwise no".format(*TOOL_START_DELAYS)
    ),
}


def retried(row: OutcomeRow) -> str:
    if row.name in FREE:
        return FREE[row.name]
    if row.status is WorkerStatus.SUCCESS:
        return "-"
    return ("once" if row.once else "yes") if row.retry else "no"


def test_the_table_of_ends_in_the_docs_is_that_of_the_code() -> None:
    section = PAGE.read_text().split("## How an attempt ends", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^\| (.+) \| .+ \| (.+) \| (.+) \|$", section, re.M)
    rows = [line for line in lines if line[0] != "row" and not line[0].startswith("---")]
    assert rows == [(row.name, str(row.status), retried(row)) for row in TABLE]
