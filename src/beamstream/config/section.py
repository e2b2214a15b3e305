"""What every section of beamstream.toml is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Refuse unknown keys, check defaults too, and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
