"""Runs ``doctor`` for the API, in a separate process, so that no check blocks the server."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.api.server_options import DoctorCheck
from orchestrator.cli.server.home_setup import home_option
from orchestrator.core.errors import Unavailable
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.product_files import FOLDER

logger = logging.getLogger(__name__)

#: Seconds after which the process is killed. A healthy machine needs about one second.
DOCTOR_SECONDS = 20.0
#: Maximum age of results that are returned without another run of the checks, and maximum age of
#: results that are returned while the checks run, in seconds.
FRESH_SECONDS, OLDEST_SECONDS = 5.0, 60.0


class DoctorProcess:
    """Runs ``doctor --json`` as the server's user, with the server's home and environment.

    Any thread may call.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        """``environ``: the environment of the server, which may name the project."""
        self._folder = folder
        self._environ = environ
        self._running = threading.Lock()
        self._results: Sequence[DoctorCheck] = ()
        #: Monotonic time of the results, in seconds.
        self._results_at = -OLDEST_SECONDS

    def __call__(self) -> Sequence[DoctorCheck]:
        """Return the results of the checks. Run the checks if there are no recent results.

        While the checks run for another caller, return the latest results. Raise Unavailable if
        these results are too old.
        """
        age = time.monotonic() - self._results_at
        if age < FRESH_SECONDS:
            return self._results
        if not self._running.acquire(blocking=False):
            if age < OLDEST_SECONDS:
                return self._results
            raise Unavailable("the checks are running for another caller; retry in a few seconds")
        try:
            self._results = self._run()
            self._results_at = time.monotonic()
            return self._results
        finally:
            self._running.release()

    def _run(self) -> Sequence[DoctorCheck]:
        # Without --project, doctor finds the project by the same rule as the server.
        command = [*home_option(self._folder, self._environ), "doctor", "--json"]
        try:
            process = subprocess.run(
                [sys.executable, "-P", "-m", "orchestrator", *command],
                cwd=self._folder,
                env={**self._environ, "PYTHONPATH": str(FOLDER)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DOCTOR_SECONDS,
                check=False,
            )
            return [DoctorCheck(**each) for each in json.loads(process.stdout)["checks"]]
        except subprocess.TimeoutExpired:
            return [_failed(f"the checks took longer than {DOCTOR_SECONDS:g} s")]
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.error("doctor failed", exc_info=error)
            return [_failed("the checks did not run; the cause is in logs/orchestrator.log")]


def _failed(message: str) -> DoctorCheck:
    fix = f"run the checks in a terminal: {COMMAND} doctor"
    return DoctorCheck(name="doctor", ok=False, message=message, fix=fix)
