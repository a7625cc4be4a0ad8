"""Submit a job, follow its events, and read its results.

Run this program while a server is running (``bin/orchestrator serve``):

    .venv/bin/python examples/python_client.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestrator.api.client import OrchestratorClient

#: A command that reads the output of the task `lower` from a file in its worker's directory.
LOUDER = """python3 - <<'PYTHON'
import json
found = json.load(open("dependencies.json"))
print(found["lower"]["output"].upper())
PYTHON"""

TASKS = [
    {"id": "lower", "command": "echo hello"},
    {"id": "upper", "command": LOUDER, "depends_on": ["lower"]},
]


def main() -> int:
    client = OrchestratorClient.from_env()
    job_id = client.orchestrate(request="Say hello, then louder", tasks=TASKS)["job_id"]
    for event in client.events(job_id):
        print(event["kind"], event.get("worker_id") or "")
    status = client.wait(job_id)
    for task in status["results"]["tasks"]:
        print(task["worker_id"], task["status"], task["output"])
    print("report:", status["results"]["final_report"])
    return 0 if status["status"] == "completed" else 1


if __name__ == "__main__":
    raise SystemExit(main())
