"""The base class of all sections of the settings."""

from pydantic import BaseModel, ConfigDict

from orchestrator.core.text.field_descriptions import DescribedFields


class Section(DescribedFields, BaseModel):
    """One part of the settings: unknown keys are rejected, values are immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
    )
