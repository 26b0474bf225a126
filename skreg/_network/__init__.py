"""The mathematics, which knows no estimator."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
