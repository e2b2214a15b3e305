"""Loops that numba compiles at their first call; importing this imports numba."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Loop], Loop]:
    """Compile a loop at its first call for each combination of types; it runs without the GIL.

    The machine code is kept beside the source or in the user's cache directory, for the next process; where
    neither can be written, every process compiles again.
    """

    def compile_later(loop: Loop) -> Loop:
        try:
            return cast(Loop, numba.njit(nogil=True, cache=True, **options)(loop))
        except RuntimeError:  # "no locator available": there is nowhere to keep it
            return cast(Loop, numba.njit(nogil=True, **options)(loop))

    return compile_later
