"""The user's editor."""

from pathlib import Path

import pytest

from orchestrator.cli.output.editor import edited_text
from orchestrator.core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"EDITOR": 'vi "x'}, 'EDITOR has an unclosed quote: vi "x'),
        ({"VISUAL": "vi 'x", "EDITOR": "true"}, "VISUAL has an unclosed quote: vi 'x"),
        ({"EDITOR": "/no/such"}, "the editor '/no/such' failed (No such file or directory)"),
        ({"EDITOR": "false"}, "the editor 'false' failed"),
    ],
)
def test_an_editor_that_cannot_run_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], reason: str
) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.setenv(name, variables.get(name, ""))
    with pytest.raises(InvalidRequest) as caught:
        edited_text("a", ".txt", "nothing was sent")
    variable = next(iter(variables))
    assert caught.value.message == (
        f"{reason}; nothing was sent; choose another editor: export {variable}=vi"
    )


def test_an_edited_text_that_is_not_utf_8_is_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf '\\377' > \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    with pytest.raises(InvalidRequest, match="not UTF-8; nothing was sent; save it as UTF-8"):
        edited_text("a", ".txt", "nothing was sent")
