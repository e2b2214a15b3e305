"""What the server's libraries may log: trouble, and never a key."""

import logging
import re

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
KEY_IN_TEXT = re.compile(r"(api_key=|Apikey )[^\s&\"']+")


class HideKey(logging.Filter):
    """Take API keys out of every text that a logger writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, without the key."""
        text = record.getMessage()
        hidden = KEY_IN_TEXT.sub(r"\1…", text)
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


def quiet_logs() -> None:
    """Let the server's loggers report trouble only, and never a key."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(f, HideKey) for f in logger.filters):
            logger.addFilter(HideKey())
