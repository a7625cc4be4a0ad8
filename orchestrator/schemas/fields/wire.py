"""The base classes of all request shapes."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A request's shape: unknown fields are refused, types are taken literally."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
