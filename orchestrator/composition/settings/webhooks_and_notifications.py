"""Converts the settings of webhooks and notifications to receivers, and checks the settings."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from orchestrator.config import Settings
from orchestrator.config.sections.webhooks_and_notifications import NotifyTarget, WebhookEndpoint
from orchestrator.core.errors import ConfigError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.ports.outbox import CALLBACK, Subscription
from orchestrator.outbox import webhooks as hooks
from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy, ForbiddenUrl
from orchestrator.outbox.notifications import mail
from orchestrator.outbox.notifications import notification_sender as notes
from orchestrator.outbox.notifications.targets import Target, TargetKind, kind_of
from orchestrator.outbox.webhooks import KEY_PREFIX, key_of

#: Seconds within which several notifications are joined into one message.
JOIN_SECONDS = 5.0
#: Pattern of a token in an address: at least 16 characters, with a digit.
_TOKEN = re.compile(r"(?=.*[0-9])[A-Za-z0-9_.~+=-]{16,}")

#: Pattern in the names of headers whose values are secrets. Values of other headers, such as a
#: team's name, are not secret.
_SECRET_HEADER = re.compile(r"(?i)auth|token|key|secret|pass|cookie|sign")


#: Header fields (RFC 9110), as http.client accepts them.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Receivers:
    endpoints: Mapping[str, hooks.Endpoint]
    targets: Mapping[str, Target]
    callback_keys: tuple[bytes, ...]
    subscriptions: Sequence[Subscription]
    #: Errors in the settings, one line each.
    errors: Sequence[str]


class _Checks:
    """Checks the settings of receivers, and collects the errors.

    An empty value is not an error, because an unset environment variable makes a value empty.
    """

    def __init__(self, allowed_hosts: Sequence[str]) -> None:
        self.errors: list[str] = []
        self._check_url = AddressPolicy(allowed_hosts).check_literal

    def key(self, setting: str, secret: SecretStr | None) -> tuple[bytes, ...]:
        """Return a tuple with the key in ``secret``; an empty tuple without a valid secret.

        ``setting``: name of the setting with the secret. If the secret is invalid, an error with
        this name is collected.
        """
        text = secret.get_secret_value() if secret else ""
        try:
            return (key_of(text),) if text else ()
        except ValueError as error:
            self.errors.append(f"{setting}: {error}")
            return ()

    def headers(self, setting: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                self.errors.append(
                    f"{setting}.{name!r}: not a valid HTTP header; remove spaces from the name of "
                    "the header, and line breaks from the value"
                )
        return headers

    def address(self, setting: str, url: str, check: Callable[[str], None] | None = None) -> None:
        """Check a receiver's URL, and collect the error, if any. Skip an empty URL.

        ``setting``: name of the setting with the URL. ``check``: function that raises ForbiddenUrl
        or ValueError for an invalid URL; None: use the check for HTTP addresses.
        """
        try:
            if url:
                (check or self._check_url)(url)
        except (ForbiddenUrl, ValueError) as error:
            self.errors.append(f"{setting}: {error}")


def receivers(settings: Settings) -> Receivers:
    checks = _Checks(settings.webhooks.allow_hosts)
    endpoints, targets = settings.webhooks.endpoints, settings.notify.targets
    checks.errors += _name_faults("webhooks.endpoints", [each.name for each in endpoints])
    checks.errors += _name_faults("notify.targets", [each.name for each in targets])
    checks.errors += [
        f"webhooks.allow_hosts: {each!r} names no host; write HOST or HOST:PORT"
        for each in settings.webhooks.allow_hosts
        if "*" in each or "/" in each
    ]
    return Receivers(
        endpoints={each.name: _endpoint(each, checks) for each in endpoints},
        targets={each.name: _target(each, checks) for each in targets},
        callback_keys=checks.key("webhooks.callback_secret", settings.webhooks.callback_secret),
        subscriptions=[
            *map(_endpoint_subscription, endpoints),
            *map(_target_subscription, targets),
        ],
        errors=[f"config.yaml: {each}" for each in checks.errors],
    )


def check_receivers(settings: Settings) -> None:
    """Raise ConfigError with one line for each error in the settings of receivers."""
    if errors := receivers(settings).errors:
        raise ConfigError("\n".join(errors))


def _name_faults(setting: str, names: Sequence[str]) -> Iterator[str]:
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield f"{setting}: the name {name} is used twice; rename one of them"
    if CALLBACK in names:
        yield f"{setting}: the name {CALLBACK} is reserved; rename it"


def _endpoint(entry: WebhookEndpoint, checks: _Checks) -> hooks.Endpoint:
    setting = f"webhooks.endpoints[{entry.name}]"
    url = entry.url.get_secret_value()
    checks.address(f"{setting}.url", url)
    return hooks.Endpoint(
        name=entry.name,
        url=url,
        keys=(
            *checks.key(f"{setting}.secret", entry.secret),
            *checks.key(f"{setting}.old_secret", entry.old_secret),
        ),
        headers=checks.headers(
            f"{setting}.headers",
            {name: value.get_secret_value() for name, value in entry.headers.items()},
        ),
    )


def _target(entry: NotifyTarget, checks: _Checks) -> Target:
    setting, url = f"notify.targets[{entry.name}].url", entry.url.get_secret_value()
    kind_name = "slack" if entry.kind == "mattermost" else entry.kind
    kind = kind_of(url) if kind_name == "auto" else TargetKind(kind_name)
    if kind is TargetKind.SMTP:
        checks.address(setting, url, mail.check)
    elif kind is TargetKind.APPRISE:
        checks.address(setting, url, _check_scheme)
    elif kind is not TargetKind.DESKTOP:
        checks.address(setting, url)
    return Target(name=entry.name, kind=kind, url=url, quiet=_quiet_minutes(entry.quiet))


def _check_scheme(url: str) -> None:
    if "://" not in url:
        raise ValueError(
            "the address must begin with a scheme, such as https:// or tgram://; for the desktop "
            "of this machine, write desktop:"
        )


def _quiet_minutes(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    begin, end = (
        int(hours) * 60 + int(minutes)
        for hours, _, minutes in (part.partition(":") for part in text.split("-"))
    )
    return begin, end


def _endpoint_subscription(entry: WebhookEndpoint) -> Subscription:
    return Subscription(
        endpoint=f"{hooks.PREFIX}{entry.name}",
        topics=entry.events,
        labels=tuple(entry.labels.items()),
    )


def _target_subscription(entry: NotifyTarget) -> Subscription:
    return Subscription(
        endpoint=f"{notes.PREFIX}{entry.name}",
        topics=entry.events,
        labels=tuple(entry.labels.items()),
        statuses=entry.on,
        min_seconds=entry.min_seconds,
        delay_seconds=JOIN_SECONDS,
    )


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield the receivers' secrets, which no log or report may contain.

    The secrets are signature keys, values of secret headers, and passwords and tokens in addresses.
    """
    secrets = [settings.webhooks.callback_secret]
    for endpoint in settings.webhooks.endpoints:
        secrets += [endpoint.secret, endpoint.old_secret]
        for name, value in endpoint.headers.items():
            if _SECRET_HEADER.search(name):
                # In a value such as "Bearer TOKEN", the token alone is a secret, too.
                yield from (value.get_secret_value(), value.get_secret_value().split(" ")[-1])
        yield from tokens_of(endpoint.url.get_secret_value())
    for secret in filter(None, secrets):
        # Also mask the secret without its prefix, because some tools show this form.
        yield from (secret.get_secret_value(), secret.get_secret_value().removeprefix(KEY_PREFIX))
    for target in settings.notify.targets:
        yield from tokens_of(target.url.get_secret_value())


def tokens_of(url: str) -> Iterator[str]:
    """Yield the parts of an address that look like passwords or tokens."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    yield from filter(None, (unquote(parts.password or ""),))
    values = [value for _, value in parse_qsl(parts.query)]
    yield from (each for each in (*parts.path.split("/"), *values) if _TOKEN.fullmatch(each))
