"""Labels of machines, such as ``gpu: true``, in settings and tasks."""

#: Names and values.
LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"


def label_text(value: object) -> object:
    """Return a label's value as text. A value that is no boolean or integer is returned unchanged.

    YAML reads ``gpu: true`` as a boolean and ``zone: 3`` as a number.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
