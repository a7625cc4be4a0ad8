"""Opens a text in the user's editor."""

import os

import click

from orchestrator.core.errors import InvalidRequest


def edited_text(text: str, extension: str, consequence: str) -> str | None:
    """Open ``text`` in the user's editor, and return the edited text.

    Return None if the user saved no text. Raise InvalidRequest if the editor cannot be started or
    fails, or if the edited text is not UTF-8.
    ``consequence``: part of the error message, such as ``nothing was sent``.
    """
    variable = "VISUAL" if os.environ.get("VISUAL") else "EDITOR"
    hint = f"choose another editor: export {variable}=vi"
    try:
        return click.edit(text, extension=extension)
    except UnicodeDecodeError:
        reason, hint = "the edited text is not UTF-8", "save it as UTF-8"
    except ValueError:  # from shlex
        reason = f"{variable} has an unclosed quote: {os.environ[variable]}"
    except click.ClickException as error:
        editor = error.message.partition(": ")[0]
        cause = getattr(error.__cause__, "strerror", None)
        reason = f"the editor {editor!r} failed{f' ({cause})' if cause else ''}"
    raise InvalidRequest(f"{reason}; {consequence}; {hint}")
