"""``orchestrator init``: installs a skill for AI tools in the project."""

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from orchestrator import IS_INSTALLED
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option, project_option
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND, IN_FOLDER
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.product_files import product_file

SKILL = Path("skills") / "orchestrate" / "SKILL.md"
#: Directories with skills. Most AI tools read the first directory, and Claude Code the second.
HOMES = (Path(".agents"), Path(".claude"))


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """The outcome of writing one file.

    ``state`` is created, replaced, unchanged, kept (an existing file differs), or failed.
    """

    path: str
    state: str
    reason: str = ""


@click.command("init")
@project_option
@click.option("--force", is_flag=True, help="Replace files that differ.")
@click.option("--dry-run", is_flag=True, help="Show the changes without writing.")
@click.option(
    "--folder",
    is_flag=False,
    flag_value="orchestrator",
    type=click.Path(path_type=Path),
    metavar="[DIR]",
    help="Create the portable folder DIR (default: orchestrator); install no skill.",
)
@json_option
@pass_cli_context
def init_command(context: CliContext, force: bool, dry_run: bool, folder: Path | None) -> int:
    """Install the skill for AI tools into the project.

    Writes .agents/skills/orchestrate/SKILL.md and .claude/skills/orchestrate/SKILL.md. An
    existing file that differs is replaced only with --force. Changes no other file.

    With --folder DIR: create a portable folder of this version, without its tests. DIR must not
    exist.
    """
    if folder is not None:
        return _show_folder(context, folder, dry_run)
    root = _host_project(context).absolute()
    text = skill_for(root, context.folder)
    written_files = [_install(root / home / SKILL, text, force, dry_run) for home in HOMES]
    if context.as_json:
        files = [asdict(file) for file in written_files]
        click.echo(json.dumps({"project": str(root), "dry_run": dry_run, "files": files}))
    else:
        for file in written_files:
            reason = f" ({file.reason})" if file.reason else ""
            would = "would be " if dry_run and file.state in ("created", "replaced") else ""
            click.echo(f"{would}{file.state} {file.path}{reason}")
    is_complete = all(file.state not in ("kept", "failed") for file in written_files)
    return ExitCode.OK if is_complete else ExitCode.FAILED


def _show_folder(context: CliContext, folder: Path, dry_run: bool) -> int:
    """Create the portable folder, print its path, and return the exit code.

    If ``dry_run`` is True, create nothing. Raise Conflict if the folder cannot be created.
    """
    from orchestrator.cli.setup.portable_folder import check_new, create

    (check_new if dry_run else create)(folder)
    if context.as_json:
        click.echo(json.dumps({"folder": str(folder.absolute()), "dry_run": dry_run}))
        return ExitCode.OK
    if dry_run:
        click.echo(f"would create {folder.absolute()}")
        return ExitCode.OK
    start = shlex.quote(os.path.join(os.curdir, folder, "quick-start.sh"))
    click.echo(f'created {folder.absolute()}; try: {start} "Survey this repository"')
    if command := _exclude_command(folder):
        click.echo(f"keep the folder out of your commits: {command}")
    return ExitCode.OK


def _exclude_command(folder: Path) -> str:
    """Return the command that makes git ignore the folder; "" if there is no repository."""
    from orchestrator.core.errors import RepositoryError
    from orchestrator.git.checkout.exclude_rules import exclude_command

    try:
        return exclude_command(folder)
    except (RepositoryError, OSError):
        return ""


def _host_project(context: CliContext) -> Path:
    from orchestrator.config import load
    from orchestrator.config.project_discovery import project_root

    loaded = load(context.folder, environ=context.environ)
    return project_root(loaded.settings, context.folder)


def skill_for(project: Path, folder: Path) -> str:
    """Return the text of the skill, with the path of ``bin/orchestrator`` in its commands.

    The path is relative to the project if ``folder`` is in the project, otherwise absolute.
    """
    text = product_file(str(SKILL)).read_text("utf-8")
    if IS_INSTALLED:
        return text.replace(IN_FOLDER, COMMAND)
    home, root = folder.resolve(), project.resolve()
    command = home / IN_FOLDER
    if home.is_relative_to(root):
        command = home.relative_to(root) / IN_FOLDER
    return text.replace(IN_FOLDER, shlex.quote(str(command)))


def _install(path: Path, text: str, force: bool, dry_run: bool) -> WrittenFile:
    try:
        return _write(path, text, force, dry_run)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        return WrittenFile(path=str(path), state="failed", reason=reason)


def _write(path: Path, text: str, force: bool, dry_run: bool) -> WrittenFile:
    """Write a file, and return the outcome. Idempotent. Raise OSError if the write fails.

    If ``dry_run`` is True, write nothing, and return the outcome that a write would have. If
    ``force`` is False, an existing file that differs is not replaced.
    """
    exists = os.path.lexists(path)
    if exists and path.is_file() and path.read_bytes() == text.encode():
        return WrittenFile(path=str(path), state="unchanged")
    if exists and not force:
        reason = "the file exists and differs; to replace it: --force"
        return WrittenFile(path=str(path), state="kept", reason=reason)
    if not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link is replaced, and its target is unchanged.
        replace_file(path, text.encode(), mode=0o644)
    return WrittenFile(path=str(path), state="replaced" if exists else "created")
