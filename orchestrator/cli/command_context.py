"""The context of every command: its home, its environment, and the format of its output."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.output.terminal_text import command_with
from orchestrator.core.errors import Conflict, InvalidRequest, NotFound
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files import orchestrator_home
from orchestrator.security.files.orchestrator_home import home_here

if TYPE_CHECKING:
    from orchestrator.api.access.audit import AuditLog
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.server_discovery import Address
    from orchestrator.core.model.caller import Caller
    from orchestrator.engine.service.service import Service
    from orchestrator.system.http_client.http_retry import Waiting


@dataclass(kw_only=True)
class CliContext:
    """The context of a command: its home, its environment, and the format of its output."""

    #: The home: the directory with config.yaml, the workspace, and logs.
    folder: Path = field(default_factory=lambda: home_here(os.environ))
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    #: True with ``--json``: results and errors are printed as JSON objects.
    as_json: bool = False
    #: The directory of ``--project``; None without this option.
    project: Path | None = None
    #: False while lines change in place on the terminal, so that no message is printed into them.
    notes_silence: bool = True

    @property
    def is_in_worker(self) -> bool:
        """True if a worker runs this command. The server shows a worker only its child jobs."""
        return "ORCHESTRATOR_WORKER_ID" in self.environ

    @property
    def workspace(self) -> Path:
        from orchestrator.api.client.server_discovery import workspace_of

        return workspace_of(self.folder, self.environ)

    def client(self, waiting: "Waiting | None" = None) -> "OrchestratorClient":
        """Return a client of the server in ORCHESTRATOR_API_URL, or of this home's server.

        ``waiting``: see ``OrchestratorClient``. Raise NoServer if the variable is not set, and no
        server runs for this home. Raise ServerUnreachable if a signal has stopped the server, or if
        the server gives no answer.
        """
        client = self.client_if_running(waiting)
        if client is None:
            from orchestrator.api.client.errors import NoServer

            self.check_no_silent_server()
            raise NoServer(f"no server is running for {self.folder}; this command needs a server")
        return client

    def check_no_silent_server(self) -> None:
        """Raise ServerUnreachable if a signal has stopped this home's server, or it is silent.

        A silent server runs, but gives no answer. In both cases, no other server can start, because
        this server still owns the workspace.
        """
        from orchestrator.api.client.errors import ServerUnreachable
        from orchestrator.cli.offline.server_liveness import silent_server, stopped_server

        if pid := stopped_server(self.workspace):
            raise ServerUnreachable(
                f"the server of {self.folder} is stopped (process {pid}); continue the server: "
                f"kill -CONT {pid}"
            )
        if record := silent_server(self.workspace):
            raise ServerUnreachable(
                f"the server of {self.folder} gives no answer at {record.url}; stop the server: "
                f"kill {record.pid}"
            )

    def note_silence(self, url: str, seconds: float) -> None:
        """Print that a server has not answered yet, and for how many seconds the command waits."""
        if self.notes_silence:
            text = f"no answer from {url} yet; waiting up to {seconds:.0f} s"
            click.echo(text, err=True)

    def client_if_running(self, waiting: "Waiting | None" = None) -> "OrchestratorClient | None":
        """Return a client, as ``client`` does; None if no server answers."""
        address = self.address_if_running()
        return self.client_at(address.url, waiting) if address else None

    def address_if_running(self) -> "Address | None":
        """Return the address of the running server, with the API key of this home or worker.

        Return None if no server runs.
        """
        from orchestrator.api.client.server_discovery import find_address

        url = self.environ.get("ORCHESTRATOR_API_URL")
        if not url:
            from orchestrator.cli.offline.server_liveness import running_server

            record = running_server(self.workspace, self.note_silence)
            url = record.url if record else None
        environ = {**self.environ, "ORCHESTRATOR_API_URL": url or ""}
        return find_address(self.folder, environ) if url else None

    def client_at(self, url: str, waiting: "Waiting | None" = None) -> "OrchestratorClient":
        """Return a client of the server at ``url``, with the API key of this home or worker.

        If this home's server restarts with another port, retries call the new port. Raise
        InvalidRequest if ``url`` is invalid.
        """
        from orchestrator.api.client import OrchestratorClient
        from orchestrator.api.client.server_discovery import API_URL, find_address, url_finder

        address = find_address(self.folder, {**self.environ, "ORCHESTRATOR_API_URL": url})
        find_url = url_finder(self.folder, self.environ)
        try:
            return OrchestratorClient(
                address.url,
                address.key,
                waiting=waiting,
                find_url=find_url,
                on_silence=self.note_silence,
            )
        except ValueError as error:
            raise InvalidRequest(f"{API_URL}: {error}") from error

    def newest_job_id(self) -> str:
        """Return the id of the newest root job; in a worker, of its newest child job.

        Raise NotFound if there is no such job.
        """
        client = self.client_if_running()
        if client is not None:
            with client:
                answer = client.jobs(page_size=1, depth=None if self.is_in_worker else 0)
            jobs = answer["jobs"]
        else:
            from orchestrator.cli.offline.jobs_on_disk import root_jobs

            jobs = root_jobs(self.workspace)
        if not jobs:
            raise NotFound("there is no last job, because there are no jobs yet")
        return str(jobs[0]["job_id"])

    def work_on_project_of(self, job_id: str) -> None:
        """Use the project of a job in this command. The option ``--project`` has priority."""
        from orchestrator.cli.offline.jobs_on_disk import project_of_job

        directory = project_of_job(self.workspace, job_id) if self.project is None else None
        if directory:
            self.project = Path(directory)
            self.environ = {**self.environ, PROJECT_VARIABLE: directory}

    def use_home(self, directory: Path) -> None:
        """Use ``directory``, the value of ``--home``, as the home.

        A server that this command starts uses the same home.
        """
        self.folder = Path(os.path.abspath(directory.expanduser()))
        self.environ = {**self.environ, orchestrator_home.VARIABLE: str(self.folder)}

    def check_home_and_choose_project(self) -> None:
        """Check that only this user can access the home, and choose the project.

        A home inside a project belongs to this project. For any other home, the setting
        ``orchestrator.project_root`` names the project. Without this setting, use the project of
        the current directory. Do nothing for the portable folder. Raise ConfigError if other users
        can access the home.
        """
        if not orchestrator_home.is_home(self.folder, self.environ):
            return
        orchestrator_home.check_private(self.folder)
        if not orchestrator_home.is_local(self.folder) and not self._has_project_setting():
            project = orchestrator_home.project_at(orchestrator_home.current_directory())
            self.environ = {**self.environ, PROJECT_VARIABLE: str(project)}

    def _has_project_setting(self) -> bool:
        from orchestrator.api.client.server_discovery import setting

        return bool(setting(self.folder, self.environ, "orchestrator", "project_root"))

    def use_project(self, directory: Path) -> None:
        """Use ``directory``, the value of ``--project``, as the project.

        If the current home is in a project, and the user did not choose this home, use the home in
        ``directory`` instead. Raise ConfigError if other users can access the new home.
        """
        self.project = Path(os.path.abspath(directory))
        self.environ = {**self.environ, PROJECT_VARIABLE: str(self.project)}
        if (
            orchestrator_home.is_local(self.folder)
            and orchestrator_home.VARIABLE not in self.environ
        ):
            self.folder = orchestrator_home.local_home(self.project)
            orchestrator_home.check_private(self.folder)

    def check_not_in_worker(
        self,
        command: str,
        why: str = "a worker must not change the user's checkout; nothing was changed; leave your "
        "changes in the worker's directory",
    ) -> None:
        """Raise Conflict if this process runs in a worker.

        ``command``: the command in the error message, such as ``land``. ``why``: the rest of the
        message.
        """
        directory = self.environ.get("ORCHESTRATOR_WORKER_DIR")
        if directory and Path(directory).resolve().is_relative_to(self.workspace.resolve()):
            raise Conflict(f"{command} is only for the user: {why}")

    def local_service(self) -> "AbstractContextManager[tuple[Service, Caller]]":
        """Open the service of this home in this process. Use it only while no server runs.

        Raise ServerUnreachable if the server is stopped by a signal, or is silent.
        """
        self.check_no_silent_server()
        from orchestrator.composition import local_service

        return local_service(self.folder, self.environ)

    def audit_log(self) -> "AuditLog":
        """Return the server's audit log, for a command that changes a job while no server runs."""
        from orchestrator.api.access.audit import AuditLog
        from orchestrator.config import load

        loaded = load(self.folder, environ=self.environ)
        return AuditLog(loaded.settings.logging.log_dir, lambda text: text)

    def note_in_audit_log(self, command: str, path: str) -> None:
        """Record a change that ``command`` made while no server runs.

        ``path``: the path of the POST call that makes the same change.
        """
        with closing(self.audit_log()) as audit:
            audit.log_change(f"({command})", "POST", path)


def unconfirmed(verb: str, undone: str = "changed") -> Conflict:
    """Return the error for an action that the user did not confirm.

    ``verb``: the action, such as ``remove``. ``undone``: the word after "nothing was" in the
    message, such as ``removed``.
    """
    return Conflict(
        f"refusing to {verb} without confirmation; nothing was {undone}; confirm with: "
        f"{command_with('--yes')}"
    )


pass_cli_context = click.make_pass_decorator(CliContext, ensure=True)


#: Environment variable with the project's directory. ``--project`` sets the variable for this
#: command, and for a server that this command starts.
PROJECT_VARIABLE = "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT"
