"""What the server's libraries may log: trouble, and never a key."""

import logging

from beamstream.logs import HideKey

LOGGERS = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.asgi",
    "tiled",
    "tiled.server.app",
    "tiled.catalog.adapter",
    "alembic",
    "numexpr",
)


def quiet_logs() -> None:
    """Let the server's loggers report trouble only, and never a key."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(f, HideKey) for f in logger.filters):
            logger.addFilter(HideKey())
