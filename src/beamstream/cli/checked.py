"""Options of the command line, checked by the same models as the configuration file."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from beamstream.errors import ConfigurationError

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Return the model with these values.

    Raises
    ------
    ConfigurationError
        One of them is wrong; says which.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        text = str(first.get("ctx", {}).get("error")) if first["type"] == "value_error" else first["msg"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        raise ConfigurationError(f"options: {f'{where}: ' if where else ''}{text}") from None
