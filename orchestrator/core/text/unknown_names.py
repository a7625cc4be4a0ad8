"""Messages for names that do not exist."""

import difflib
from collections.abc import Sequence


def similar_name(name: str, known: Sequence[str]) -> str:
    """Return the known name that is most similar to ``name``; "" if no name is similar."""
    return next(iter(difflib.get_close_matches(name[:100], known, n=1)), "")


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """Return the message for an unknown name, with a similar name and the known names.

    ``what``: what is unknown, as text for the message, such as ``agent 'clade'`` or ``query
    parameter``. ``name``: only the unknown name, such as ``clade``.
    """
    similar = similar_name(name, known)
    hint = f"did you mean {similar!r}? " if similar else ""
    return f"unknown {what}; {hint}known: {', '.join(known) or 'none'}"
