"""The base classes of all request shapes."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """Base of requests: unknown fields are rejected, and values are not converted."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
