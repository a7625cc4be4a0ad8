"""The base class of all sections of the settings, which rejects unknown keys."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from orchestrator.core.text.field_descriptions import DescribedFields


class Section(DescribedFields, BaseModel):
    """One section of the settings. Unknown keys are rejected, and values are immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
        defer_build=True,
    )

    @classmethod
    def by_default(cls) -> Self:
        """Return the section with its default values. The values are not checked.

        A check would build the section's validator, which would delay every start of the server.
        A unit test checks the default values instead.
        """
        return cls.model_construct()
