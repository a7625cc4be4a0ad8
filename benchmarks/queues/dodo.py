"""doit as a peer: one task for each command. The variable TASKS has the number of commands.

TASKS=500 benchmarks/.venv/bin/doit run -f benchmarks/queues/dodo.py -n 4 -P thread
"""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

DOIT_CONFIG = {"verbosity": 0, "reporter": "zero"}


def _run(path: str) -> None:
    with open(path, "wb") as output:
        subprocess.run(["/bin/true"], stdout=output, stderr=output, check=True)


def task_true() -> Iterator[dict[str, Any]]:
    for number in range(int(os.environ["TASKS"])):
        yield {"name": str(number), "actions": [(_run, [str(number)])]}
