"""doctor"""


def doctor() -> None: ...
