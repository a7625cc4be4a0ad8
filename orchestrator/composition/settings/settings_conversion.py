"""Converts settings to the parameters of the product's parts, such as limits and containment."""

import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.agents.agent_registry import AgentRegistry
from orchestrator.composition.settings.webhooks_and_notifications import secrets_of
from orchestrator.config import Settings, project_root
from orchestrator.config.fields.choices import Containment
from orchestrator.config.fields.value_types import Processors
from orchestrator.core.limits.effective_settings import Ceilings
from orchestrator.core.limits.key_costs_and_jobs import AllKeyLimits, KeyLimits
from orchestrator.core.model.job_settings import SETTINGS, JobConfig, Setting, default_config
from orchestrator.core.model.machines import LIVE_PER_RUNNING, Machine
from orchestrator.engine.runtime.launch_settings import LaunchSettings
from orchestrator.engine.runtime.machine_headroom import Bounds, DiskReserve, Headroom
from orchestrator.launchers.containment.containment_settings import (
    ContainmentSettings,
    Mode,
    Sandbox,
    WorkerLimits,
)
from orchestrator.launchers.local.containment_selection import select_containment
from orchestrator.security.files.umask import users_umask
from orchestrator.security.secrets.api_keys import ApiKeys, Holder, hash_key
from orchestrator.security.secrets.masking import Masker
from orchestrator.workspace import LOCK_NAME, JobDirectories


def limits(settings: Settings) -> tuple[JobConfig, Ceilings]:
    """Return the default settings of a job, and the ceilings that no request may exceed."""
    defaults = {each.name: _default(settings, each) for each in SETTINGS if each.server}
    defaults["enable_recursion"] = defaults["enable_recursion"] and not _is_offline(settings)
    ceilings = {each.name: getattr(settings.limits, each.name) for each in fields(Ceilings)}
    return default_config(**defaults), Ceilings(**ceilings)


def _default(settings: Settings, setting: Setting) -> Any:
    section, key = setting.server.split(".")
    value = getattr(getattr(settings, section), key)
    if value is None:
        return setting.default
    if isinstance(value, Path | StrEnum):
        return str(value)
    return int(value) if isinstance(value, Processors) else value


def key_limits(settings: Settings) -> AllKeyLimits:
    return AllKeyLimits(
        max_cost_usd_per_day=settings.limits.max_cost_usd_per_day,
        keys={
            each.name: KeyLimits(
                max_cost_usd_per_day=each.limits.max_cost_usd_per_day,
                max_running_jobs=each.limits.max_running_jobs,
                max_workers=each.limits.max_workers,
            )
            for each in settings.api.keys
        },
    )


def live_workers(settings: Settings) -> int | None:
    """Return the maximum number of worker processes, ``workers.max_live_workers``.

    Return None if the setting has its default value, which is a multiple of ``max_workers``.
    """
    live, workers = settings.workers.max_live_workers, settings.workers.max_workers
    return None if live == LIVE_PER_RUNNING * workers else live


def headroom(
    settings: Settings,
    agents: AgentRegistry,
    workspace: JobDirectories,
    git_directories: Sequence[Callable[[], Path | None]],
    moved_error: Callable[[], str],
    machines: Callable[[], Sequence[Machine]] | None,
) -> Headroom:
    workers = settings.workers
    bounds = Bounds(
        least_memory_bytes=workers.min_available_memory_bytes,
        least_disk_bytes=workers.min_free_disk_bytes,
        most_pressure=workers.max_memory_pressure,
    )
    return Headroom(
        workspace.root,
        bounds,
        agents.memory_bytes,
        reserve=DiskReserve(workspace.root),
        git_directories=git_directories,
        moved_error=moved_error,
        machines=machines,
    )


def api_keys(settings: Settings) -> ApiKeys:
    holders = dict(ApiKeys.single(settings.api.api_key.get_secret_value()).holders)
    for key in settings.api.keys:
        key_hash = key.key_hash or hash_key(key.key.get_secret_value() if key.key else "")
        holders.setdefault(key_hash, Holder(key.name, frozenset(key.scopes)))
    return ApiKeys(holders)


def own_secrets(settings: Settings) -> tuple[str, ...]:
    """Return secrets of the server that must not appear in a log or a report."""
    keys = [settings.api.api_key, *(each.key for each in settings.api.keys)]
    secrets = [key.get_secret_value() for key in keys if key is not None]
    secrets += [each.secret.get_secret_value() for each in settings.triggers.values()]
    if settings.store.url is not None:
        secrets.append(unquote(urlsplit(settings.store.url.get_secret_value()).password or ""))
    return tuple(filter(None, [*secrets, *secrets_of(settings)]))


def masked(secrets: Sequence[str], text: str) -> str:
    return Masker(secrets).text(text)


def launch_settings_of(folder: Path, settings: Settings) -> LaunchSettings:
    return LaunchSettings(
        home=folder,
        project_root=project_root(settings, folder),
        bin=folder / "bin",
        environment=dict(os.environ),
        workspace=settings.orchestrator.workspace_root,
        grace_seconds=settings.workers.grace_seconds,
        log_limit_bytes=settings.workers.log_limit_bytes,
        server_lock=settings.orchestrator.workspace_root / LOCK_NAME,
        orphan_timeout=settings.workers.orphan_timeout,
        offline=_is_offline(settings),
        umask=users_umask(),
        secrets=own_secrets(settings),
    )


def containment(
    folder: Path, settings: Settings, visible: Sequence[str] = ()
) -> ContainmentSettings:
    """Return the containment that the settings request, even if this machine does not support it.

    ``visible``: paths below /tmp that a sandbox shows, although it hides most paths below /tmp.
    """
    workers = settings.workers
    return ContainmentSettings(
        mode=Mode(workers.containment),
        limits=WorkerLimits(**workers.limits.model_dump(exclude={"strict"})),
        strict=workers.limits.strict,
        sandbox=Sandbox(
            network=workers.sandbox.network,
            hide=_absolute(folder, workers.sandbox.hide),
            writable=_absolute(folder, workers.sandbox.writable),
            visible=tuple(visible),
        ),
    )


def _is_offline(settings: Settings) -> bool:
    workers = settings.workers
    return workers.containment is Containment.SANDBOX and not workers.sandbox.network


def _absolute(folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(os.path.abspath(folder / path) for path in paths)


def containment_in_force(folder: Path, settings: Settings) -> ContainmentSettings:
    """Return the containment that this machine uses with these settings.

    Raise ContainmentUnavailable if the requested containment does not work on this machine.
    """
    return select_containment(containment(folder, settings))
