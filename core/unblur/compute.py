"""Where and how numbers are computed: device, precision, memory format, threads; decided once, in one place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from unblur.allocation import kept_memory
from unblur.errors import ParameterError

Precision = Literal["auto", "float32", "bfloat16"]
E = TypeVar("E")
R = TypeVar("R")

MOST_THREADS = 8
"""Times the processors: more threads only wait for each other, and many more take the process down."""


@dataclass(frozen=True)
class Compute:
    """Device, precision, memory format and threads of a run; make one with `choose`."""

    device: torch.device
    precision: Literal["float32", "bfloat16"]
    threads: int

    @classmethod
    def choose(cls, device: str = "auto", precision: Precision = "auto", threads: int | None = None) -> Compute:
        """The best this machine has, or what was asked for.

        Raises:
            ParameterError: the device does not exist, the precision is unknown, or no sensible number of threads.
        """
        if not isinstance(device, str | torch.device):
            raise ParameterError(f"device = {device!r}: expected auto, cpu, or a device of torch such as cuda:0")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"  # MPS has no double precision, which parts need
        try:
            chosen = torch.device(device)
            torch.empty(1, device=chosen)
        except (RuntimeError, AssertionError) as error:
            words = str(error).splitlines()[0]
            raise ParameterError(f"device {device!r} cannot be used: {words}. Try --device cpu") from error
        most = MOST_THREADS * (os.cpu_count() or 1)
        whole = isinstance(threads, Integral) and not isinstance(threads, bool)
        if threads is not None and not (whole and 1 <= threads <= most):
            raise ParameterError(
                f"threads = {threads!r}: expected a whole number from 1 to {most}, or none for all processors"
            )
        if precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(f"precision {precision!r}: choose one of auto, float32, bfloat16")
        if precision == "auto":
            precision = "bfloat16" if good_at_bfloat16(chosen) else "float32"
        return cls(chosen, precision, int(threads or torch.get_num_threads()))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Threads, determinism and memory for the duration of a run.

        What was set before comes back when the last of the runs in the process has ended.
        """
        global _running
        with _lock:
            if _running == 0:
                _before.append(_settings())
            _running += 1
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            _set({**_FIXED, "threads": self.threads})
        try:
            with kept_memory():
                yield
        finally:
            with _lock:
                _running -= 1
                if _running == 0:
                    _set(_before.pop())

    def autocast(self) -> Any:
        """The precision for networks; whatever needs float32 (kernels, misfits, transforms) stays outside."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def tensor(self, array: Any) -> Tensor:
        """A float32 tensor on the device."""
        if isinstance(array, Tensor):
            return array.to(self.device, torch.float32)
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def place(self, module: torch.nn.Module, dims: int = 2) -> torch.nn.Module:
        """A network on the device, in the memory format its convolutions like."""
        return module.to(self.device).to(memory_format=memory_format(dims))  # type: ignore[call-overload, no-any-return]

    def lay(self, tensor: Tensor) -> Tensor:
        """A network's input in the memory format of `place`."""
        return tensor.to(self.device).contiguous(memory_format=memory_format(tensor.ndim - 2))

    def generator(self, seed: int) -> torch.Generator:
        """A generator on the device."""
        return torch.Generator(self.device).manual_seed(seed)

    def free_memory(self) -> int:
        """Bytes that a run may take."""
        if self.device.type == "cuda":
            cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            return int(torch.cuda.mem_get_info(self.device)[0]) + cached
        import psutil

        return int(psutil.virtual_memory().available)

    def describe(self) -> dict[str, Any]:
        """For the report."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return {"device": name, "precision": self.precision, "threads": self.threads, "torch": torch.__version__}


@contextlib.contextmanager
def own_modes() -> Iterator[None]:
    """Gradients, and neither inference mode nor autocast, whatever the caller's thread is in."""
    with torch.inference_mode(False), torch.enable_grad(), contextlib.ExitStack() as off:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                off.enter_context(torch.autocast(device, enabled=False))
        yield


def in_own_modes(events: Generator[E, None, R]) -> Generator[E, None, R]:
    """The same events, each made in `own_modes`; between them the caller's thread is as it was."""
    try:
        while True:
            with own_modes():
                try:
                    event = next(events)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
            yield event
    finally:
        events.close()


_lock = threading.Lock()
_running = 0
_before: list[dict[str, Any]] = []

_FIXED = {
    "deterministic": True,
    "warn_only": True,
    "fills": False,
    "benchmark": False,
    "tf32": (False, False),
    "dtype": torch.float32,
}
"""During a run: the same bits each time, without a pass that fills each new tensor, and float32 where it is said."""


def _settings() -> dict[str, Any]:
    """What torch is set to in this process."""
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fills": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "benchmark": torch.backends.cudnn.benchmark,
        "tf32": _tf32(),
        "dtype": torch.get_default_dtype(),
    }


def _tf32() -> tuple[bool, bool] | None:
    """Whether CUDA may round float32 in convolutions and products; None where another interface of torch sets it."""
    try:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    except RuntimeError:
        return None


def _set(wanted: Mapping[str, Any]) -> None:
    torch.set_num_threads(wanted["threads"])
    torch.use_deterministic_algorithms(wanted["deterministic"], warn_only=wanted["warn_only"])
    torch.utils.deterministic.fill_uninitialized_memory = wanted["fills"]  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = wanted["benchmark"]
    torch.set_default_dtype(wanted["dtype"])
    if wanted["tf32"] is not None and _tf32() is not None:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = wanted["tf32"]


def memory_format(dims: int) -> torch.memory_format:
    """Channels innermost, as convolutions like their maps of 2 or 3 spatial dimensions."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def good_at_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 ones there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return False


def seed_of(run_seed: int, index: Sequence[int]) -> int:
    """The seed of one plane from the run's seed and the plane's (t, c, z): no order or worker count changes it."""
    text = ",".join(map(str, (run_seed, *index)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") % (2**63 - 1)


def saved_bytes(step: Any) -> int:
    """Bytes that autograd keeps for the backward pass of `step()`, each storage counted once."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = max(seen.get(storage.data_ptr(), 0), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values())


def human_bytes(count: float) -> str:
    """Such as ``1.4 GB``."""
    power = 0
    while power < len(_UNITS) - 1 and round(count / 1000**power) >= 1000:
        power += 1
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


_UNITS = ("B", "kB", "MB", "GB", "TB")
