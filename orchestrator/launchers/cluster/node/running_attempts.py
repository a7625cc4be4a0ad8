"""Runs the attempts that the server starts on this node."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import RAN_NOTHING, ExitCause
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.launchers.cluster.connection.messages import (
    ArchiveFigures,
    FilePositions,
    FilesNotReturned,
    FilesPiece,
    RequestedContainment,
    StartAttempt,
    Welcome,
)
from orchestrator.launchers.cluster.file_transfer.archive import UnusableFiles, as_full_disk
from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
from orchestrator.launchers.cluster.node.attempt_reports import AttemptReports
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempt, HeldAttempts
from orchestrator.launchers.cluster.node.node_settings import NodeSettings
from orchestrator.launchers.containment.containment_settings import ContainmentSettings
from orchestrator.launchers.local.local_launcher import LocalLauncher
from orchestrator.launchers.local.shim_pool import IDLE_SECONDS
from orchestrator.launchers.process.worker_process import start_failure

logger = logging.getLogger(__name__)

#: If the disk is full when an ended worker's files are packed: maximum seconds to wait for space,
#: and seconds between two tries.
_FULL_DISK_SECONDS, _RETRY_SECONDS = 60.0, 2.0
#: Values of ``Exit.ended_by`` for attempts without a result.
_NO_RESULT = (EndedBy.LOST, EndedBy.CANCEL, EndedBy.SPAWN_FAILED)


class RunningAttempts:
    """The attempts of a node, from their starts until the server has stored their ends.

    Implements ``core.ports.launcher.LauncherEvents``. Only the event loop's thread may call.
    """

    def __init__(
        self,
        settings: NodeSettings,
        held: HeldAttempts,
        files: NodeFiles | None,
        reports: AttemptReports,
        lease_path: str,
        forgotten: Callable[[], None],
    ) -> None:
        """``files``: None if the node shares the server's file system.

        ``lease_path``: the file of the node's lease. ``forgotten`` is called after the server has
        stored the end of an attempt.
        """
        self._settings, self._directory = settings, str(settings.directory)
        self._held, self._files, self._reports = held, files, reports
        self._lease_path, self._forgotten = lease_path, forgotten
        self._launcher: LocalLauncher | None = None
        self._idle_shims: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()
        #: Variables of the server's environment. In workers' environments, this machine's values
        #: replace these values.
        self._server_environment: Mapping[str, str] = {}
        self._api_port = 0

    def open(self, welcome: Welcome, api_port: int) -> None:
        """Apply the server's settings. The first call starts the launcher.

        ``api_port``: port of this machine for the workers' API calls. Raise ContainmentUnavailable
        or OSError if this machine cannot start workers.
        """
        self._server_environment, self._api_port = welcome.environment, api_port
        if self._files is not None:
            self._files.connected(welcome.places, sys.executable)
        if self._launcher is None:
            self._open_launcher(self._containment_here(welcome.containment))

    def _open_launcher(self, containment: ContainmentSettings) -> None:
        launcher = LocalLauncher(containment)
        launcher.open(self)
        self._launcher = launcher
        # Listen in this thread, because passing an event to another thread would take longer than
        # handling it.
        asyncio.get_running_loop().add_reader(launcher.fileno(), launcher.listen, 0.0)
        self._idle_shims = asyncio.ensure_future(self._end_idle_shims(launcher))
        for held in self._held.hold_stored():
            if self._files is not None:
                self._files.adopt(held.id)
            if not launcher.adopt(held.id, held.exit_path, held.digest):
                self.ended(held.id, launcher.determine_end(held.id, held.exit_path, held.digest))

    async def _end_idle_shims(self, launcher: LocalLauncher) -> None:
        while launcher.listen(0.0):
            await asyncio.sleep(IDLE_SECONDS)

    def _containment_here(self, requested: RequestedContainment) -> ContainmentSettings:
        """Return the requested containment of workers, with the paths of this machine."""
        sandbox = requested.sandbox
        if self._files is not None:
            paths = self._files.paths("")
            sandbox = replace(
                sandbox,
                hide=tuple(map(paths.text, sandbox.hide)),
                writable=tuple(map(paths.text, sandbox.writable)),
                visible=(str(self._settings.home), *self._files.shown),
            )
        return ContainmentSettings(
            mode=requested.mode, limits=requested.limits, strict=requested.strict, sandbox=sandbox
        )

    def close(self) -> None:
        """Close the launcher. Workers continue."""
        if self._launcher is not None:
            asyncio.get_running_loop().remove_reader(self._launcher.fileno())
            if self._idle_shims is not None:
                self._idle_shims.cancel()
            self._launcher.close(stop=False)

    def held_attempts(self) -> Sequence[HeldAttempt]:
        """Return this node's attempts, including attempts of an earlier process of the node."""
        return self._held.stored() if self._launcher is None else list(self._held.values())

    def reconcile(
        self, expected: Mapping[str, FilePositions], late: Mapping[str, FilePositions]
    ) -> None:
        """Send the output and the ends of the attempts that the server wants, and stop all others.

        ``expected``: attempts that the server expects to run or to have ended. ``late``: attempts
        that the server counted as lost, and whose results it still accepts. Such an attempt is
        stopped if it still runs. Both mappings have, for each attempt and output file, the position
        from which the file is sent.
        """
        for attempt_id, positions in expected.items():
            held = self._held.get(attempt_id)
            if held is None:
                self._report_never_started(attempt_id)
            else:
                self._reports.send_from(held, positions)
        for attempt_id in [each for each in self._held if each not in expected]:
            held = self._held[attempt_id]
            if attempt_id in late and held.exit and held.exit.ended_by not in _NO_RESULT:
                self._reports.send_from(held, late[attempt_id])
                continue
            if attempt_id in late:
                self._reports.no_result(attempt_id)
            self._drop(held)
        if self._files is not None:
            # Remove files of attempts that never started: the connection may have broken while the
            # files arrived.
            self._files.forget_others(self._held)
            self.run_in_background(self._sweep())

    def _report_never_started(self, attempt_id: str) -> None:
        # The start of the attempt was lost with the former connection.
        why = f"node {self._settings.name} lost its connection before the worker started"
        lost = Exit(
            ended_by=EndedBy.LOST, cause=ExitCause.LEASE_ENDED, error=why, ended_at=time.time()
        )
        self._reports.ended(attempt_id, lost)

    def _drop(self, held: HeldAttempt) -> None:
        """Stop and forget an attempt that the server does not expect."""
        held.is_unwanted = True
        if held.exit is not None:
            self.forget(held.id)
        else:
            self.stop(held.id, EndedBy.CANCEL, "", ExitCause.LEASE_ENDED)

    # Starts

    def receive_files(self, piece: FilesPiece) -> None:
        """Store a piece of the files of an attempt that will start."""
        if self._files is not None:
            self._files.receive(piece.attempt, piece.at, piece.data)

    def start(self, message: StartAttempt) -> None:
        """Start an attempt. A failure is reported as the attempt's end."""
        launch = replace(message.launch, env=self._environment(message.launch.env))
        try:
            held = self._held.hold(launch.attempt_id)
            held.digest, held.bases = launch.proof.digest, message.bases
            if message.files is not None:
                held.files = message.files
                held.sent["files"] = 0
            held.make_scratch(launch.env)
            held.save()
        except OSError as error:
            self._not_started(launch.attempt_id, error)
            return
        if held.files is None or self._files is None:
            self._launch(held, launch)
            return
        held.is_preparing = True
        self.run_in_background(self._prepare(held, held.files, message.sent, launch))

    async def _prepare(
        self,
        held: HeldAttempt,
        files: AttemptFiles,
        sent: ArchiveFigures | None,
        launch: Launch,
    ) -> None:
        """Unpack the received files of an attempt, and launch the attempt."""
        assert self._files is not None
        try:
            if sent is None:
                raise UnusableFiles("the server did not send the files of the attempt")
            async with held.files_lock:
                await asyncio.to_thread(self._files.unpack, held.id, files, sent)
        except (OSError, OrchestratorError) as error:
            self._not_started(held.id, as_full_disk(error, self._directory))
            return
        held.is_preparing = False
        if held.stopped is not None:
            self._finish(held, held.stopped)
            return
        paths = self._files.paths(held.id)
        launch = replace(
            launch,
            argv=tuple(map(paths.text, launch.argv)),
            cwd=paths.text(launch.cwd),
            env={name: paths.text(value) for name, value in launch.env.items()},
            stdin=launch.stdin and paths.text(launch.stdin),
        )
        self._launch(held, launch)

    def _not_started(self, attempt_id: str, error: OSError | OrchestratorError) -> None:
        if isinstance(error, OSError):
            ended_by, cause, why = start_failure(error)
        else:
            ended_by, cause, why = "spawn_failed", ExitCause.NONE, str(error)
        self.forget(attempt_id)
        exit = Exit(ended_by=EndedBy(ended_by), cause=cause, error=why)
        self._reports.ended(attempt_id, exit)

    def _launch(self, held: HeldAttempt, launch: Launch) -> None:
        assert self._launcher is not None
        launch = replace(
            launch,
            log=held.log,
            exit_path=held.exit_path,
            lease_lock="",
            lease_seconds=0.0,
            lease_file=self._lease_path,
        )
        self._launcher.start(launch)

    def _environment(self, launch_env: Mapping[str, str]) -> dict[str, str]:
        """Return a worker's environment. This machine's values replace the server's values."""
        env = dict(launch_env)
        for name, server_value in self._server_environment.items():
            if name == "PATH":
                continue
            if env.get(name) == server_value:
                del env[name]
                if name in os.environ:
                    env[name] = os.environ[name]
        # Replace only the end of PATH, which has the server's directories. PATH begins with
        # directories of the workspace and the project.
        path, server_path = env.get("PATH", ""), self._server_environment.get("PATH", "")
        if server_path and path.endswith(server_path):
            env["PATH"] = path.removesuffix(server_path) + os.environ.get("PATH", os.defpath)
        env["ORCHESTRATOR_API_URL"] = f"http://127.0.0.1:{self._api_port}"
        env["ORCHESTRATOR_NODE"] = self._settings.name
        return env

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        assert self._launcher is not None
        self._launcher.waiting(attempt_id, waiting)

    # Events of the launcher

    def started(self, attempt_id: str, pid: int) -> None:
        self._reports.started(attempt_id, pid)

    def begun(self, attempt_id: str, at: float) -> None:
        # Nothing is preloaded on a node.
        ...

    def returned(self, attempt_id: str) -> None:
        # Nothing is preloaded on a node.
        ...

    def ended(self, attempt_id: str, exit: Exit) -> None:
        held = self._held.get(attempt_id)
        if held is None:
            return
        held.has_ended = True
        ran = exit.cause not in RAN_NOTHING and not held.is_unwanted
        if ran and held.files is not None and self._files is not None:
            self.run_in_background(self._pack_files(held, held.files, exit))
        else:
            self._finish(held, exit)

    # Ends

    def stop_all(self) -> None:
        """Stop all attempts, because the node ends. Idempotent."""
        for held in self._held.values():
            self.stop(held.id, EndedBy.CANCEL, "", ExitCause.LEASE_ENDED)

    def stop(self, attempt_id: str, ended_by: str, stopped_by: str, cause: ExitCause) -> None:
        held = self._held.get(attempt_id)
        if held is not None and held.is_preparing:
            ended = Exit(ended_by=EndedBy(ended_by), stopped_by=stopped_by, cause=cause)
            held.stopped = held.stopped or ended
        elif self._launcher is not None:
            self._launcher.stop(attempt_id, ended_by, stopped_by, cause)

    async def _pack_files(self, held: HeldAttempt, files: AttemptFiles, exit: Exit) -> None:
        """Pack an ended attempt's files into an archive, and then report the end."""
        assert self._files is not None
        loop = asyncio.get_running_loop()
        ends = loop.time() + _FULL_DISK_SECONDS
        while held.returned is None:
            try:
                async with held.files_lock:
                    held.returned = await asyncio.to_thread(
                        self._files.pack, held.id, files, held.archive
                    )
            except (OSError, OrchestratorError) as error:
                is_full = is_full_disk(as_full_disk(error, self._directory))
                if is_full and loop.time() < ends and not held.is_unwanted:
                    # Other workers of this node may end, and free the space that the archive needs.
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    held.returned = FilesNotReturned(str(error))
        self._finish(held, exit)

    def _finish(self, held: HeldAttempt, exit: Exit) -> None:
        held.exit = exit
        if held.is_unwanted:
            self.forget(held.id)
        else:
            self._reports.send(held)

    def forget(self, attempt_id: str) -> None:
        """Remove an attempt whose end the server has stored, with its files. Idempotent."""
        self._held.forget(attempt_id)
        if self._files is not None:
            # If the attempt was stopped while its files arrived, only ``_files`` has the attempt.
            self._files.forget(attempt_id)
            self.run_in_background(self._sweep())
        self._forgotten()

    # Work in the background

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _sweep(self) -> None:
        assert self._files is not None
        await asyncio.to_thread(self._files.sweep)

    async def prune(self) -> None:
        """Remove old commits if this node has no attempts."""
        if self._files is not None and not self._working and not self.held_attempts():
            try:
                await asyncio.to_thread(self._files.prune)
            except (OSError, OrchestratorError) as error:
                logger.warning(
                    "cannot remove old commits: %s; retrying after the next connection",
                    error,
                    extra={"action": "node_prune"},
                )
