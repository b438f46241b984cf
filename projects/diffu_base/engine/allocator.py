"""The memory allocator of CPU runs."""

import ctypes

# glibc's malloc.h gives these numbers to the options.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make this process keep freed memory for its next tensors. Returns whether that worked; it needs glibc.

    By default glibc returns large blocks to the system at once. The system then has to zero every page of the next
    tensor, which takes a good part of a detector's inference on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(key, _NEVER) for key in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD))
