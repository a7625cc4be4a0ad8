"""The server's own log contains no control characters and no secret."""

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.server.logging_setup import set_up_logging
from orchestrator.config import Settings
from orchestrator.config.sections.logging import Logging

SECRET = "the-key-of-the-server"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def console_of(root: logging.Logger) -> io.StringIO:
    [console] = [each for each in root.handlers if type(each) is logging.StreamHandler]
    console.setStream(stream := io.StringIO())
    return stream


@pytest.mark.parametrize("structured", [True, False])
def test_logs_hold_no_secret_and_no_control_sequence(
    tmp_path: Path, root: logging.Logger, structured: bool
) -> None:
    directory = tmp_path / "new" / "logs"
    settings = Settings(logging=Logging(log_dir=directory, enable_structured=structured))
    set_up_logging(settings, [SECRET])
    console = console_of(root)
    try:
        raise ValueError(f"url http://x/?key={SECRET}")
    except ValueError:
        logging.exception("said \x1b]0;title\x07 %s", SECRET, extra={"argument": [SECRET]})

    path = directory / "orchestrator.log"
    for text in (path.read_text(), console.getvalue()):
        assert SECRET not in text
        assert "***" in text
        assert not [c for c in text if ord(c) < 32 and c not in "\n\t"]
    if structured:
        assert json.loads(path.read_text())["level"] == "ERROR"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_info_lines_of_migrations_are_omitted(tmp_path: Path, root: logging.Logger) -> None:
    set_up_logging(Settings(logging=Logging(log_dir=tmp_path)))
    logging.getLogger("alembic.runtime.plugins").info("setup plugin")
    logging.getLogger("alembic.runtime.migration").warning("something is wrong")
    [line] = (tmp_path / "orchestrator.log").read_text().splitlines()
    assert "something is wrong" in line


def test_plain_lines_name_the_object_of_a_message(tmp_path: Path, root: logging.Logger) -> None:
    set_up_logging(Settings(logging=Logging(log_dir=tmp_path)))
    console = console_of(root)

    logging.warning("node disconnected", extra={"action": "node_gone", "node": "n1"})
    logging.warning("nothing more")

    first, second = console.getvalue().splitlines()
    assert first.endswith("root: node disconnected (action=node_gone, node=n1)")
    assert second.endswith("root: nothing more")
