"""Lines of ``compare``."""

from typing import Any

from orchestrator.cli.jobs.compare import comparison_lines


def candidate(worker_id: str, **fields: Any) -> dict[str, Any]:
    usual = {"agent": "claude", "status": "success", "gates_failed": [], "gates_passed": 1}
    usual |= {"chosen": False, "why": "larger change", "reason": "", "by": "size"}
    return {**usual, "worker_id": worker_id, **fields}


def test_costs_are_written_as_in_reports() -> None:
    costs = {"worker_1": 12.34567, "worker_2": 0.07123, "worker_3": None}
    candidates = [candidate(worker_id, cost_usd=cost) for worker_id, cost in costs.items()]

    text = "\n".join(comparison_lines({"why": "", "candidates": candidates}))

    measures = [line.split() for line in text.splitlines()[-3:]]
    assert [cells[2] for cells in measures] == ["$12.35", "$0.0712", "-"]
