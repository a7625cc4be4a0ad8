"""Labels of machines, such as ``gpu: true``, as settings and tasks write them."""

#: Names and values.
LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"


def label_text(value: object) -> object:
    """Return a label's value as text, because YAML reads ``gpu: true`` and ``zone: 3`` as other
    types. Other types than these are returned as they are.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
