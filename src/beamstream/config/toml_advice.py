"""What to write where TOML does not mean what the author of a line meant: Windows' paths, signs that editors put."""

import re

from beamstream.edited_text import strange_sign

SINGLE_QUOTES = (
    r"in double quotes TOML takes a backslash for the beginning of another sign; write a path in single quotes, like "
    r"'C:\Users\me', or each backslash twice"
)
_BACKSLASH = re.compile(r'"[^"]*\\')


def advice(line: str) -> str:
    """Return what to do about a line that is not TOML; it repeats no value, which may be a secret."""
    return SINGLE_QUOTES if _BACKSLASH.search(line) else strange_sign(line) or "correct the line"
