"""Array aliases and the read-only rule of values."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
UInt8s = NDArray[np.uint8]
UInt16s = NDArray[np.uint16]
Bools = NDArray[np.bool_]
Int32s = NDArray[np.int32]
Ints = NDArray[np.int64]


T = TypeVar("T", bound=np.generic)


def read_only(array: NDArray[T]) -> NDArray[T]:
    """A C-contiguous view of `array` that refuses writing."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


AnyArray = NDArray[Any]
