"""Pull requests: pushes the result of a job, and opens the pull request with ``gh`` or ``glab``.

Both programs use the user's credentials, hooks, and terminal.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join

from orchestrator.core.errors import Conflict
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import git_in
from orchestrator.git.command.runner import Git

#: For each program: a word in the host names of the service that the program supports, and the
#: address of the program's web page.
_TOOLS = {"gh": ("github", "https://cli.github.com"), "glab": ("gitlab", "https://gitlab.com/cli")}
#: Maximum length of a description (GitHub accepts 65,536 characters).
_MOST_CHARACTERS = 60_000
#: Variables that git sets if it has called this program, for example in a hook.
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True, kw_only=True, slots=True)
class PullRequest:
    """A branch for which a service opens a pull request."""

    project: Path
    environ: Mapping[str, str]
    #: The commit to push.
    commit: str
    #: Name of the branch on the remote to which ``commit`` is pushed.
    head: str
    #: Name of the branch on the remote into which the service merges ``head``.
    base: str
    title: str
    body: str

    def check(self) -> tuple[str, str]:
        """Return the remote, and the program that opens the pull request.

        Raise Conflict if there is no remote or no such program.
        """
        remote = self._remote()
        return remote, self._tool(remote)

    def open(self, remote: str, tool: str) -> str:
        """Push the branch and open the pull request. Return the output of ``gh`` or ``glab``.

        If ``gh`` reports that the branch already has an open pull request, return the address of
        this pull request, which the push has updated. Raise Conflict if the push or the opening
        fails. If only the opening fails, the pushed branch remains.
        """
        push = ["git", "push", remote, f"{self.commit}:refs/heads/{self.head}"]
        if self._run(push).returncode:
            raise Conflict(
                f"git push to {remote} failed; no pull request was opened; to see why, type: "
                f"{git_in(self.project)} {join(push[1:])}"
            )
        command = self._command(tool)
        if tool == "gh":
            filters = ["--head", self.head, "--state", "open", "--json", "url", "--jq", ".[].url"]
            if address := self._run(["gh", "pr", "list", *filters], captured=True).stdout.strip():
                return str(address)
        answer = self._run(command, stdin=self.body if tool == "gh" else "", captured=True)
        if answer.returncode:
            raise Conflict(
                f"{self.head} was pushed to {remote}, but no pull request was opened: "
                f"{join(command[:3])} failed with exit code {answer.returncode}"
            )
        return str(answer.stdout).strip()

    def _remote(self) -> str:
        git = Git(str(self.project), {})
        remotes = git.run("remote").text.split()
        configured = git.ask("config", f"branch.{self.base}.remote")
        candidates = [name for name in (configured, "origin") if name in remotes]
        if candidates or len(remotes) == 1:
            return (*candidates, *remotes)[0]
        if not remotes:
            raise Conflict(
                "the repository has no remote; add one: "
                f"{git_in(self.project)} remote add origin ADDRESS"
            )
        raise Conflict(
            f"no remote is selected for branch {self.base}; remotes of the repository: "
            f"{', '.join(remotes)}; select one: "
            f"{git_in(self.project)} config branch.{self.base}.remote NAME"
        )

    def _tool(self, remote: str) -> str:
        address = Git(str(self.project), {}).ask("remote", "get-url", "--push", remote)
        matching = [tool for tool, (word, _) in _TOOLS.items() if word in _host(address)]
        installed = [
            tool for tool in matching or _TOOLS if shutil.which(tool, path=self._search_path)
        ]
        if installed:
            return installed[0]
        suggested = matching or list(_TOOLS)
        places = " or ".join(f"{tool} ({_TOOLS[tool][1]})" for tool in suggested)
        push = join(["push", remote, f"{self.commit[:12]}:refs/heads/{self.head}"])
        push = f"{git_in(self.project)} {push}"
        raise Conflict(
            f"no program was found that can open a pull request at {remote}; nothing was "
            f"changed; install {places}, or push and open the pull request by hand: {push}"
        )

    @property
    def _search_path(self) -> str:
        return self.environ.get("PATH", os.defpath)

    def _command(self, tool: str) -> list[str]:
        if tool == "gh":
            command = ["gh", "pr", "create", "--base", self.base, "--head", self.head]
            return [*command, "--title", self.title, "--body-file", "-"]
        command = ["glab", "mr", "create", "--target-branch", self.base]
        command += ["--source-branch", self.head, "--title", self.title]
        return [*command, "--description", self.body[:_MOST_CHARACTERS], "--yes"]

    def _run(
        self, command: Sequence[str], stdin: str = "", *, captured: bool = False
    ) -> subprocess.CompletedProcess[str]:
        program = shutil.which(command[0], path=self._search_path) or command[0]
        env = {name: value for name, value in self.environ.items() if name not in _FOREIGN}
        # In a terminal, gh would otherwise ask for values that the command line already has.
        env["GH_PROMPT_DISABLED"] = "1"
        try:
            return subprocess.run(
                [program, *command[1:]],
                cwd=self.project,
                env=env,
                input=stdin[:_MOST_CHARACTERS] or None,
                stdout=subprocess.PIPE if captured else 2,
                text=True,
                check=False,
            )
        except OSError as error:
            raise Conflict(f"cannot run {command[0]}: {error}") from None


def _host(address: str) -> str:
    """Return the host name in a remote's address; "" if the address has no host.

    Forms: ``https://host/path``, ``ssh://user@host/path``, and ``user@host:path``.
    """
    _, has_scheme, location = address.partition("://")
    if has_scheme:
        return location.partition("/")[0].rpartition("@")[2].lower()
    place, is_scp, _ = address.partition(":")
    return place.rpartition("@")[2].lower() if is_scp and "/" not in place else ""
