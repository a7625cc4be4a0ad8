"""Doctor's check of the configuration: valid, private, with a key."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import IS_INSTALLED
from orchestrator.cli.doctor.check import HealthCheck, quoted
from orchestrator.cli.output.command_paths import with_paths_here
from orchestrator.core.errors import ConfigError, UnreadableConfig
from orchestrator.core.text.command_name import COMMAND, INSTALL_COMMAND
from orchestrator.security.files.orchestrator_home import is_home
from orchestrator.security.files.product_files import FOLDER

if TYPE_CHECKING:
    from orchestrator.config import Settings


def config_checks(
    folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[HealthCheck, "Settings | None"]]:
    """Yield (check, settings) for each check of the configuration.

    The check that finds the configuration valid comes with the loaded settings. For every other
    check, ``settings`` is None.
    """
    path = folder / "config.yaml"
    has_home = IS_INSTALLED or is_home(folder, environ)
    if not path.exists():
        message = f"{path} does not exist; all settings have their defaults"
        if has_home:
            message = f"{path.parent} does not exist yet; `{COMMAND} run` or `serve` creates it"
        yield HealthCheck(name="config", ok=None, message=message), None
    settings = None
    try:
        from orchestrator.config import load

        settings = load(folder, environ=environ).settings
    except UnreadableConfig as error:
        message, _, fix = error.message.partition("; ")
        yield HealthCheck(name="config", ok=False, message=message, fix=fix), None
    except ConfigError as error:
        fix = "correct these lines; all settings are in config.template.yaml"
        yield HealthCheck(name="config", ok=False, message=error.message, fix=fix), None
    except ImportError as error:
        product = FOLDER if has_home else folder
        fix = f"run {INSTALL_COMMAND if IS_INSTALLED else quoted(product / 'install.sh')}"
        yield HealthCheck(name="config", ok=False, message=str(error), fix=fix), None
    else:
        valid = f"{path} is valid" if path.exists() else "the environment variables are valid"
        yield HealthCheck(name="config", ok=True, message=valid), settings
    if path.exists():
        yield _mode_check(path), None
    if settings is not None and (path.exists() or not has_home):
        key_command = f"{COMMAND} serve" if has_home else quoted(folder / "install.sh")
        yield _key_check(settings, key_command), None


def _mode_check(path: Path) -> HealthCheck:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        message = f"other users can read {path.name} and its API key (mode {mode:o})"
        return HealthCheck(
            name="config mode", ok=False, message=message, fix=f"chmod 600 {quoted(path)}"
        )
    return HealthCheck(name="config mode", ok=True, message=f"{mode:o}")


def _key_check(settings: "Settings", key_command: str) -> HealthCheck:
    """Check the API key. ``key_command``: the command that creates a missing key."""
    from orchestrator.config.cross_setting_checks import key_conflicts
    from orchestrator.config.example_key import is_example

    key = settings.api.api_key.get_secret_value()
    if is_example(key):
        message = (
            "api.api_key is a published example, which others know; for a new key, "
            'set api.api_key: "" and restart the server'
        )
        return HealthCheck(name="api key", ok=None, message=message)
    for _, reason in key_conflicts(key, require_key=bool(key)):
        problem, _, fix = with_paths_here(reason).partition("; ")
        return HealthCheck(name="api key", ok=False, message=f"api.api_key: {problem}", fix=fix)
    if key:
        return HealthCheck(name="api key", ok=True, message="api.api_key is set")
    fix = f"run {key_command}, which creates a key"
    return HealthCheck(name="api key", ok=False, message="api.api_key is not set", fix=fix)
