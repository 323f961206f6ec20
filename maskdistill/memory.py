"""Memory of a device that does not suffice: the one policy of the package.

What does not fit is done in halves, then in halves of these, down to one item; every loop over
batches uses `in_halves`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

# In the words of torch's allocator on the CPU, and of NVIDIA's libraries: errors without a class.
SAID = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
Item = TypeVar("Item")
Made = TypeVar("Made")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory did not suffice.

    Args:
        error: of Python or NumPy, of a GPU, or of torch's allocator on the CPU.
    """
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in SAID)


def in_halves(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], list[Made]],
    *,
    on_halved: Callable[[int], None] = lambda n_items: None,
) -> list[Made | None]:
    """Return the results of `work` on all items, as many at a time as fit into memory.

    Args:
        items: of one batch, in order; nothing is done for none.
        work: from some of the items to a result each, in their order; its other errors pass
            through.
        on_halved: called with the number of items that did not fit, each time.
    Returns:
        A result an item, in the order of the items; None of an item that does not fit alone.
    """
    if not items:
        return []
    try:
        return list(work(items))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Behind the except clause: its error holds the frames, and so the tensors, of what failed.
    release()
    on_halved(len(items))
    if len(items) == 1:
        return [None]
    half = len(items) // 2
    return [
        made
        for some in (items[:half], items[half:])
        for made in in_halves(some, work, on_halved=on_halved)
    ]


def release() -> None:
    """Give the blocks that torch keeps for later back to the GPU; nothing without one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
