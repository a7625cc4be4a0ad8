"""The form in which texts are stored."""

from orchestrator.store.schema.column_types import escape, unescape


def test_the_form_of_stored_text_never_changes() -> None:
    # Existing databases contain this form, and migrations 0005, 0009, and 0011 use it.
    text, stored = "a\0 \ud800 \x1a é\n", "a\x1a0000 \x1ad800 \x1a001a é\n"
    assert (escape(text), unescape(stored)) == (stored, text)
