"""A server with real agents, and the actions of tests."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.api.client import OrchestratorClient
from tests.acceptance.conftest import Server
from tests.agents.model_api import ModelApi, Script
from tests.integration.site import files_named

Answer = dict[str, Any]
#: Timeout of a job, in seconds; the slowest tool needs 5 s to start on an idle machine.
JOB_SECONDS = 240.0


@dataclass
class Site:
    server: Server
    client: OrchestratorClient
    api: ModelApi

    def submit(self, agent: str, name: str, script: Script, **more: Any) -> str:
        """Start a job with one task, whose model calls get the script's answers. Return its id."""
        self.api.scripts[name] = script
        config = more.pop("config", {})
        task = {"id": "t", "agent": agent, "prompt": f"Do it. [[script:{name}]]", **more}
        answer = self.client.orchestrate("A job", tasks=[task], **config)
        return str(answer["job_id"])

    def wait(self, job_id: str) -> Answer:
        """Wait for the end of a job; return the job with its workers."""
        self.client.wait(job_id, timeout=JOB_SECONDS)
        return self.client.job(job_id)

    def run(self, agent: str, name: str, script: Script, **more: Any) -> Answer:
        return self.wait(self.submit(agent, name, script, **more))

    def begun(self, job_id: str) -> bool:
        """True if a command of the ``hanging`` script runs."""
        worker = self.only(self.client.job(job_id))
        return bool(files_named(Path(worker["workspace"]), "begun.txt"))

    def git(self, *arguments: str) -> str:
        """Return the output of git in the host project."""
        command = ["git", *arguments]
        found = subprocess.run(
            command, cwd=self.server.project, check=True, capture_output=True, text=True
        )
        return found.stdout

    def log(self, worker: Answer) -> str:
        return Path(worker["log"]).read_text()

    @staticmethod
    def only(job: Answer) -> Answer:
        [worker] = job["workers"]
        return dict(worker)
