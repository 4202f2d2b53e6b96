"""How much memory a computation takes at once, counted by torch's operations."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, strided
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes that tensors made in `work()` take at any one time, each storage counted once.

    What operations need within themselves is not seen.
    """
    with _Count() as count:
        work()
    peak: int = count.peak
    return peak


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up storages as operations give them, and takes them off as they go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        known = {storage.data_ptr() for storage in _storages((args, kwargs))} | self._seen
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage.data_ptr() not in known:
                self._add(storage)
        return result

    def _add(self, storage: Any) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._seen:
            return
        self._seen.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, place, size)

    def _drop(self, place: int, size: int) -> None:
        self._seen.discard(place)
        self.now -= size


def _storages(values: Any) -> Iterator[Any]:
    """Of the tensors in a tree; a sparse one has none itself, and its parts are made as tensors of their own."""
    tensors = (value for value in tree_leaves(values) if isinstance(value, Tensor))
    return (tensor.untyped_storage() for tensor in tensors if tensor.layout == strided)
