"""Loops compiled by numba, kept between processes where a folder for that can be written.

In:       a function of loops over arrays, and options of numba's njit
Out:      the same function, compiled at its first call
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Return a decorator: numba's njit, without the interpreter's lock, with a cache.

    numba refuses to compile where it can write neither beside the file nor in the user's cache: a
    container whose packages are read-only and whose user has no home. There each process compiles
    for itself.

    Args:
        options: njit's others (fastmath, inline, error_model).
    Raises:
        RuntimeError: numba's own, but for the missing cache.
    """

    def of(function: Function) -> Function:
        """Return the compiled function."""
        try:
            made: Function = numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            made = numba.njit(nogil=True, **options)(function)
        return made

    return of
