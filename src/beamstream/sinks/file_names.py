"""Refuse names that would leave their directory, hide there, or not be a name on another computer."""

_PUNCTUATION = frozenset(" ._-+=@,()~")
_LONGEST = 200  # bytes: filesystems take 255, and a number and a suffix follow
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def safe_name(text: str, what: str) -> str:
    """Return `text` if it can be a file's name, or the beginning of one, on every system.

    Letters and digits of any alphabet, blanks inside, and ``._-+=@,()~``. A name from a configuration or from the
    network can then be put into a path, a URI or a template without a second thought.

    Parameters
    ----------
    text : str
        The name; no path.
    what : str
        What it is for; begins the error's text: ``"cam: prefix"``.

    Raises
    ------
    ValueError
        The message names the character, or what else is wrong.
    """
    if wrong := _wrong(text):
        raise ValueError(f"{what}: {text!r} asked for, {wrong}; use letters, digits, _ and - for it")
    return text


def _wrong(text: str) -> str:
    """Return what is wrong with a name; nothing if nothing is."""
    refused = [c for c in text if not c.isalnum() and c not in _PUNCTUATION]
    checks = {
        "it is empty": not text,
        f"it contains {refused[:1]}": bool(refused),
        "it begins with a dot or a blank": text[:1] in (".", " "),
        "it ends with a dot or a blank": text[-1:] in (".", " "),
        'it contains ".."': ".." in text,
        f"it is longer than {_LONGEST} bytes": len(text.encode(errors="replace")) > _LONGEST,
        "Windows keeps this name for a device": text.partition(".")[0].rstrip().lower() in _DEVICES,
    }
    return next((wrong for wrong, applies in checks.items() if applies), "")
