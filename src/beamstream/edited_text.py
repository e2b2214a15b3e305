"""Text that people edited: a byte-order mark is skipped; another encoding is an error that names what to do."""

import codecs
import unicodedata

ADVICE = "save it as UTF-8 text"
_OTHERS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins like the mark of UTF-16
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_QUOTES = dict.fromkeys("“”„‟«»″＂", '"') | dict.fromkeys("‘’‚‛′＇`´", "'")
_UNSEEN = ("Zs", "Zl", "Zp", "Cf", "Cc")  # Unicode's categories of blanks, separators and controls


class NotUtf8(ValueError):
    """Bytes that are no UTF-8 text.

    Attributes
    ----------
    line : int
        Where, from 1; 0: all of them.
    """

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


def text_of(data: bytes) -> str:
    """Return the text of a file, without the byte-order mark that editors of Windows put before UTF-8.

    Raises
    ------
    NotUtf8
        The text names what they are instead, and the line.
    """
    name = next((name for mark, name in _OTHERS.items() if data.startswith(mark)), "")
    if not name and data[:2].count(0) == 1 and data[2:4].count(0) == 1:
        name = "UTF-16"  # without its mark
    if name:
        raise NotUtf8(f'{name} text, "Unicode" in editors of Windows')
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        line = data.count(b"\n", 0, start) + 1
        raise NotUtf8(f"not UTF-8 at byte {start}{_as_windows_reads_it(data[start])}", line) from None


def strange_sign(line: str) -> str:
    """Return what to do about a sign that an editor put into a line instead of a quote or a blank; empty without."""
    for sign in line:
        if sign in _QUOTES:
            return f"{sign} is no quote here, an editor may have put it there; write {_QUOTES[sign]}"
        if sign not in " \t" and unicodedata.category(sign) in _UNSEEN:
            name = unicodedata.name(sign, "control character").lower()
            return f"it has a {name} (U+{ord(sign):04X}), which cannot be seen; delete it, or write a plain blank"
    return ""


def _as_windows_reads_it(byte: int) -> str:
    """Return what a byte is in the encoding that editors of Windows call ANSI; empty if it is nothing there."""
    sign = bytes([byte]).decode("cp1252", errors="ignore")
    return f" (0x{byte:02x}, {sign!r} in the ANSI text of Windows)" if sign.isalnum() or sign in "°µ±²³€“”„‘’–" else ""
