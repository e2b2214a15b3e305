"""From colour to grey by a rule that somebody declared: a colour must not get lost by accident."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Grey = Literal["error", "keep", "luma", "mean", "red", "green", "blue"]
"""What becomes of colours: ``"error"`` refuses them, ``"keep"`` leaves them (RGB1), the others make grey of them."""

RULES: tuple[Grey, ...] = get_args(Grey)
_BT601 = np.array([0.299, 0.587, 0.114])
_CHANNELS = {"red": 0, "green": 1, "blue": 2}


def to_grey(image: NDArray[Any], rule: Grey) -> NDArray[Any]:
    """Return an image of shape (n_rows, n_cols, 3) as a new one of (n_rows, n_cols), of the same dtype, rounded.

    ``"luma"`` is BT.601's, 0.299 red + 0.587 green + 0.114 blue; ``"keep"`` returns the image.
    """
    if rule == "keep":
        return image
    if rule in _CHANNELS:
        return np.ascontiguousarray(image[..., _CHANNELS[rule]])
    if rule == "mean":
        return ((image.sum(axis=2, dtype=np.uint32) + 1) // 3).astype(image.dtype)
    return np.rint(image @ _BT601).astype(image.dtype)


def checked_rule(who: str, rule: str) -> Grey:
    """Return the rule, or say which there are.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    for known in RULES:
        if rule == known:
            return known
    raise ValueError(f"{who}: grey {rule!r} given; use one of {', '.join(RULES)}")
