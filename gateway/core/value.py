"""What every message and value of the core is made of."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
