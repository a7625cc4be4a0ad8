"""Reads the three sources of settings: the file, the environment, and flags."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from orchestrator.config.layer import Layer, Origin
from orchestrator.config.setting_types import is_optional, is_text
from orchestrator.config.validation_messages import schema_at
from orchestrator.config.yaml.key_paths import FILE_NAME, KeyPath, dotted
from orchestrator.config.yaml.yaml_text import Position, YamlText, read_yaml
from orchestrator.core.errors import UnreadableConfig

PREFIX = "ORCHESTRATOR_"
SEPARATOR = "__"
SECRETS = {
    ("api", "api_key"),
    ("api", "keys"),
    ("store", "url"),
    ("webhooks", "endpoints"),
    ("webhooks", "callback_secret"),
    ("notify", "targets"),
}
#: Old names of renamed settings, by section.
FORMER_NAMES = {("workers", "orphan_lease"): "orphan_timeout"}
#: Sections in which a text ``env:NAME`` means the value of the environment variable NAME.
WITH_VARIABLES = ("triggers", "webhooks", "notify")
FROM_VARIABLE = "env:"
#: Suffix of a variable that names a file with the value. Container platforms pass secrets in this
#: way.
IN_FILE = "_FILE"
#: User id of root.
ROOT = 0


def read_file(path: Path) -> Layer:
    """Return the settings in the file; empty if the file is missing.

    Raise UnreadableConfig if this user may not read the file.
    """
    layer = Layer()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return layer
    except UnicodeDecodeError as error:
        layer.add_problem(
            _origin_of_invalid_byte(path, error), "not UTF-8 text; save the file as UTF-8"
        )
        return layer
    except PermissionError as error:
        raise UnreadableConfig(reason_and_fix(path)) from error
    except OSError as error:
        layer.add_problem(Origin(source=path.name), f"cannot be read: {error.strerror}")
        return layer
    _add_document(layer, path.name, read_yaml(text))
    return layer


def reason_and_fix(path: Path) -> str:
    """Return why this user may not read the file, and how the user can read it."""
    try:
        owner = path.stat().st_uid
    except PermissionError:  # The directory is not accessible, either.
        return f"cannot read {path}: Permission denied; run the command as the owner of the file"
    user = os.geteuid()
    if owner == user:
        return f"cannot read {path}: Permission denied; type: chmod 600 {shlex.quote(str(path))}"
    reason = f"cannot read {path}: it belongs to uid {owner}, and this command runs as uid {user}"
    if owner == ROOT:
        folder = shlex.quote(str(path.parent))
        return f"{reason}; if you have used sudo here, type: sudo chown -R {user} {folder}"
    return f"{reason}; run the command as the owner of the file"


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Return the settings in the variables ``ORCHESTRATOR_<SECTION>__<KEY>``.

    Variables without a double underscore are ignored. A variable can name a file that contains a
    secret: ``ORCHESTRATOR_API__API_KEY_FILE=/run/secrets/key``.
    """
    layer = Layer()
    for name in sorted(environ):
        section, separator, key = name.removeprefix(PREFIX).partition(SEPARATOR)
        if not name.startswith(PREFIX) or not separator:
            continue
        path = (section.lower(), key.removesuffix(IN_FILE).lower())
        if key.endswith(IN_FILE) and path in SECRETS:
            _add_secret_file(layer, path, name, environ)
        else:
            _add_text(layer, section.lower(), key.lower(), environ[name], name)
    return layer


def _add_secret_file(
    layer: Layer, path: tuple[str, str], name: str, environ: Mapping[str, str]
) -> None:
    origin, plain_name = Origin(source=name), name.removesuffix(IN_FILE)
    if plain_name in environ:
        layer.add_problem(origin, f"{plain_name} is also set; set only one of them")
        return
    try:
        text = Path(environ[name]).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        layer.add_problem(origin, f"{environ[name]} cannot be read: {reason}")
        return
    if text:
        _add_text(layer, *path, text, name)
    else:
        layer.add_problem(origin, f"{environ[name]} is empty; write the secret into it")


def with_current_names(layer: Layer) -> Layer:
    """Replace former names of settings by the current names, and return the layer.

    A setting with both names is a problem of the layer.
    """
    for (section, former), present in FORMER_NAMES.items():
        keys = layer.values.get(section, {})
        if former not in keys:
            continue
        origin = layer.origins[section, former]
        if present in keys:
            reason = (
                f"{section}.{former} is the former name of {section}.{present}, which is also set; "
                "remove one of them"
            )
            layer.add_problem(origin, reason)
        values = {present if key == former else key: value for key, value in keys.items()}
        layer.values[section] = values
        layer.origins.pop((section, former))
        layer.origins.setdefault((section, present), origin)
    return layer


def with_variables(layer: Layer, environ: Mapping[str, str], *, must_be_set: bool) -> Layer:
    """Replace each ``env:NAME`` in the layer by the value of the variable, and return the layer.

    The value of an unset variable is "". If ``must_be_set`` is True, an unset variable is also a
    problem of the layer: a server needs the variables, other commands do not.
    """

    def filled(path: KeyPath, value: object) -> object:
        if isinstance(value, dict):
            return {key: filled((*path, key), each) for key, each in value.items()}
        if isinstance(value, list):
            return [filled((*path, number), each) for number, each in enumerate(value)]
        if not isinstance(value, str) or not value.startswith(FROM_VARIABLE):
            return value
        name = value.removeprefix(FROM_VARIABLE)
        if must_be_set and not environ.get(name):
            origin = layer.origin_of(path) or Origin(source=FILE_NAME)
            reason = f"the environment variable {name} is not set; set {name} for the server"
            layer.add_problem(origin, f"{dotted(path)}: {reason}")
        return environ.get(name, "")

    for section in WITH_VARIABLES:
        values = layer.values.get(section, {})
        for key, value in values.items():
            values[key] = filled((section, key), value)
    return layer


def read_flags(flags: Mapping[str, str]) -> Layer:
    """Return the settings in ``flags``: texts by dotted name, such as ``{"api.port": "8123"}``."""
    layer = Layer()
    for name, text in flags.items():
        section, _, key = name.partition(".")
        _add_text(layer, section, key, text, f"flag --{key.replace('_', '-')}")
    return layer


def _origin_of_invalid_byte(path: Path, error: UnicodeDecodeError) -> Origin:
    valid_bytes = error.object[: error.start]
    column = error.start - (valid_bytes.rfind(b"\n") + 1) + 1
    return Origin(source=path.name, line=valid_bytes.count(b"\n") + 1, column=column)


def _add_document(layer: Layer, source: str, document: YamlText) -> None:
    def origin(position: Position) -> Origin:
        return Origin(source=source, line=position.line, column=position.column)

    for position, reason in document.faults:
        layer.add_problem(origin(position), reason)
    layer.origins = {path: origin(at) for path, at in document.positions.items()}
    if isinstance(document.value, dict):
        for section, keys in document.value.items():
            _add_section(layer, section, keys)
    elif document.value is not None:
        layer.add_problem(
            origin(Position(1, 1)), "must be sections such as 'api:', each with keys below it"
        )


def _add_section(layer: Layer, section: str, keys: object) -> None:
    if isinstance(keys, dict):
        layer.values[section] = keys
    elif keys is None or not schema_at((section,)):
        layer.values[section] = {}
    else:
        reason = f"{section}: must be a section, with indented keys on the next lines"
        layer.add_problem(layer.origins[section,], reason)


def _add_text(layer: Layer, section: str, key: str, text: str, source: str) -> None:
    origin = Origin(source=source)
    path: KeyPath = (section, key)
    if is_text(path):
        # Do not read the text as YAML: an API key of digits would become a number, and ``#`` would
        # start a comment.
        is_null = is_optional(path) and text in ("", "~", "null")
        layer.put(section, key, None if is_null else text, origin)
        return
    document = read_yaml(text)
    for _, reason in document.faults:
        layer.add_problem(origin, f"{section}.{key}: {reason}")
    if not document.faults:
        layer.put(section, key, document.value, origin)
