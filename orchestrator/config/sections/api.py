"""The section ``api``: the REST API, its keys, and its certificate."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import (
    Count,
    Dollars,
    KeyHash,
    KeyName,
    KeyScope,
    PathText,
    Word,
    Words,
    empty_for_null,
)


class KeyLimitSettings(Section):
    """Limits of one key and its jobs; null: no limit."""

    max_cost_usd_per_day: Dollars | None = None
    """Maximum cost of the key's jobs per day (UTC), in US dollars."""
    max_running_jobs: Count | None = None
    """Maximum number of unfinished root jobs."""
    max_workers: Count | None = None
    """Maximum number of parallel workers of the key's jobs."""
    submissions_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Maximum submissions and retries per minute, instead of limits.submissions_per_minute."""


class ApiKey(Section):
    """A further API key, for a person or a program; ``orchestrator keys new`` creates it."""

    name: KeyName
    """Name of the key's owner. The audit log and the jobs that use this key show it."""
    key_hash: KeyHash | None = None
    """SHA-256 hash of the key; set either key_hash or key."""
    key: SecretStr | None = None
    """The key, 16 characters or more; set either key_hash or key."""
    scopes: Annotated[tuple[KeyScope, ...], Field(strict=False, min_length=1)]
    """Scopes: read (all jobs), submit (own jobs: submit and control), or admin (everything)."""
    limits: KeyLimitSettings = KeyLimitSettings.by_default()
    """Limits of the key: cost per day, unfinished jobs, workers, and submissions."""


class Tls(Section):
    """Certificate and private key of the server, as files in PEM format."""

    certificate: PathText
    """Certificate of the server, followed by the certificates of its issuers."""
    key: PathText
    """Private key of the certificate, without a password."""


class Api(Section):
    """The REST API."""

    host: Word = "localhost"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0: any free port."""
    api_key: Annotated[SecretStr, BeforeValidator(empty_for_null)] = SecretStr("")
    """API key (header X-API-Key), 16 characters or more; empty: created at the next start."""
    keys: Annotated[tuple[ApiKey, ...], Field(strict=False)] = ()
    """Further API keys with names and scopes; to create a key: bin/orchestrator keys new NAME"""
    threads: int = Field(default=16, ge=2, le=1000)
    """Number of threads that answer requests."""
    connection_limit: int = Field(default=2000, ge=10, le=1_000_000)
    """Maximum number of open connections."""
    tls: Tls | None = None
    """Certificate and key for https: {certificate: FILE.pem, key: FILE.pem}; null: no https."""
    trusted_proxies: Words = ()
    """Addresses or networks of https proxies; if set, other machines must call through a proxy."""
    allowed_hosts: Words = ()
    """Further host names of the server, such as the public name behind a proxy."""
    public_url: Word | None = None
    """Address for links in messages: https://jobs.example.org; null: address on this machine."""
    allowed_origins: Words = ()
    """Origins of other sites whose pages may call the API with a key: https://app.example.org."""
    insecure: bool = False
    """Allow plain HTTP from other machines (others on the network can then read the keys)."""

    @property
    def has_local_address(self) -> bool:
        """True if the server has a second address, in plain HTTP, for programs on this machine."""
        return self.tls is not None or bool(self.trusted_proxies)

    @model_validator(mode="before")
    @classmethod
    def remove_old_keys(cls, values: Any) -> Any:
        """Remove the key ``allow_remote``, which older versions wrote and no code reads."""
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if key != "allow_remote"}
