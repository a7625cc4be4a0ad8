"""Doctor's check of the configuration: valid, private, with a key."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck, quoted
from orchestrator.core.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.config import Settings


def config_checks(
    folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[HealthCheck, "Settings | None"]]:
    """Checks, and the settings as soon as they are known to be valid."""
    path = folder / "config.yaml"
    if not path.exists():
        message = f"{path} is missing; the defaults hold"
        yield HealthCheck(name="config", ok=None, message=message), None
    settings = None
    try:
        from orchestrator.config import load

        settings = load(folder, environ=environ, require_key=False).settings
    except ConfigError as error:
        fix = "mend these lines; all settings are in config.template.yaml"
        yield HealthCheck(name="config", ok=False, message=error.message, fix=fix), None
    except ImportError as error:
        fix = f"run {quoted(folder / 'install.sh')}"
        yield HealthCheck(name="config", ok=False, message=str(error), fix=fix), None
    else:
        yield HealthCheck(name="config", ok=True, message=f"{path} is valid"), settings
    if path.exists():
        yield _mode(path), None
    if settings is not None:
        yield _key(settings, folder), None


def _mode(path: Path) -> HealthCheck:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        message = f"others can read {path.name} (mode {mode:o}), which holds the API key"
        return HealthCheck(
            name="config mode", ok=False, message=message, fix=f"chmod 600 {quoted(path)}"
        )
    return HealthCheck(name="config mode", ok=True, message=f"{mode:o}")


def _key(settings: "Settings", folder: Path) -> HealthCheck:
    from orchestrator.config.api_key import is_example

    key = settings.api.api_key.get_secret_value()
    if is_example(key):
        message = 'looks like an example that others know; for a new one write "" in its place'
        return HealthCheck(name="api key", ok=None, message=f"{message} and restart the server")
    if key:
        return HealthCheck(name="api key", ok=True, message="present")
    fix = f"run {quoted(folder / 'install.sh')}, which makes one"
    return HealthCheck(name="api key", ok=False, message="api.api_key is not set", fix=fix)
