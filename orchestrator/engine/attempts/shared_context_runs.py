"""Starts the processes that create the shared contexts of jobs, and reads the contexts.

A job's shared context is the text with which all prompts of the job begin.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.job import Job
from orchestrator.core.ports import Invocation, SharedContexts, Workspace
from orchestrator.core.ports.launcher import Launch, Launcher
from orchestrator.engine.runtime.launch_settings import LaunchSettings
from orchestrator.engine.runtime.running_processes import RunningProcesses
from orchestrator.engine.runtime.supervisor_messages import ContextPrepared, Post
from orchestrator.security.allowed_environment import allowed_environment
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.secrets.api_keys import new_proof

logger = logging.getLogger(__name__)

#: Timeout for the creation of a shared context, in seconds. The creation usually takes a few
#: seconds. After the timeout, the context lacks the project digest and the context files.
CONTEXT_SECONDS = 60.0


class SharedContextRuns:
    """Creates the shared contexts of jobs, and reads them.

    Only the supervisor's thread may call ``begin`` and ``read``.
    """

    def __init__(
        self,
        shared: SharedContexts,
        reads_prompt: Callable[[str], bool],
        launcher: Launcher,
        processes: RunningProcesses,
        workspace: Workspace,
        settings: LaunchSettings,
        post: Post,
    ) -> None:
        self._post = post
        self._shared = shared
        self._reads_prompt = reads_prompt
        self._launcher = launcher
        self._processes = processes
        self._workspace = workspace
        self._settings = settings
        self._base = allowed_environment(settings.environment)
        self._number = 0

    def begin(self, job: Job, root: Job) -> None:
        """Start the process that creates a job's shared context.

        When the process ends, ``ContextPrepared`` is posted, even after a failure.
        """
        if self._shared.exists(job):
            self._post(ContextPrepared(job.id))
            return
        try:
            directory, command = self._shared.command(job, root)
            launch = self._launch(job, directory, command)
        except OSError:
            self._do_without(job, root)
            return
        self._processes.expect(launch.attempt_id, partial(self._process_ended, job, root))
        self._launcher.start(launch)

    def _process_ended(self, job: Job, root: Job, exit: Exit) -> None:
        if exit.stop_was_requested:
            # The process was stopped with the server. The next server requests the context again.
            return
        if self._shared.exists(job):
            self._post(ContextPrepared(job.id))
        else:
            logger.warning(
                "cannot create a job's shared context with its project digest; "
                "the job's workers start without the digest and the context files",
                extra={"job_id": job.id, "exit": repr(exit)},
            )
            self._do_without(job, root)

    def read(self, job: Job, root: Job, agent: str) -> str:
        """Return the job's shared context; "" if ``agent`` is an agent that reads no prompt."""
        if not self._reads_prompt(agent):
            return ""
        # The context is missing if it could not be written, or if another process has removed it.
        if not self._shared.exists(job):
            self._shared.make_plain(job, root)
        return self._shared.read(job)

    def _do_without(self, job: Job, root: Job) -> None:
        try:
            self._shared.make_plain(job, root)
        except OSError:
            # Only log the error: a worker that cannot read the context reports the reason.
            logger.warning(
                "cannot write the shared context", extra={"job_id": job.id}, exc_info=True
            )
        finally:
            self._post(ContextPrepared(job.id))

    def _launch(self, job: Job, directory: Path, command: Invocation) -> Launch:
        for name, text in command.files.items():
            replace_file(directory / name, text.encode())
        self._number += 1
        name = f"context_{job.id}"
        # Name a new exit record for each process, because the process of an earlier server may
        # still write to its own record.
        record_name = f"{name}.{secrets.token_hex(4)}.exit.json"
        tree_directory = self._workspace.job_directory(job.root_id)
        for folder in ("logs", "attempts"):
            (tree_directory / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        return Launch(
            attempt_id=f"{job.root_id}/{name}/{self._number}",
            argv=command.argv,
            cwd=str(directory),
            env=self._environment(directory, command.env),
            stdin=str(directory / command.stdin) if command.stdin else None,
            log=str(tree_directory / "logs" / f"{name}.log"),
            exit_path=str(tree_directory / "attempts" / record_name),
            proof=new_proof(),
            timeout=CONTEXT_SECONDS,
            grace=self._settings.grace_seconds,
            log_limit_bytes=self._settings.log_limit_bytes,
            lease_lock=str(self._settings.server_lock),
            lease_seconds=CONTEXT_SECONDS,
            secrets=self._settings.secrets,
        )

    def _environment(self, directory: Path, extra_variables: Mapping[str, str]) -> dict[str, str]:
        own_variables = {
            "ORCHESTRATOR_WORKER_DIR": str(directory),
            "ORCHESTRATOR_PROJECT_ROOT": str(self._settings.project_root),
            "ORCHESTRATOR_HOME": str(self._settings.home),
        }
        return {**self._base, **extra_variables, **own_variables}
