"""Mean and standard deviation of samples that come one by one (Welford 1962)."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class Moments:
    """Of tensors of one shape; `count` of them so far."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.scatter: Tensor | None = None

    def add(self, sample: Tensor) -> None:
        """Take one more sample; no gradients are kept."""
        sample = sample.detach()
        self.count += 1
        if self.mean is None or self.scatter is None:
            self.mean, self.scatter = sample.clone(), sample.new_zeros(sample.shape)
            return
        off = sample - self.mean
        self.mean = self.mean + off / self.count
        self.scatter = self.scatter + off * (sample - self.mean)

    def std(self) -> Tensor | None:
        """Sample standard deviation (n - 1); None for fewer than two samples."""
        if self.scatter is None or self.count < 2:
            return None
        return (self.scatter / (self.count - 1)).sqrt()

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean, "scatter": self.scatter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.mean, self.scatter = state["count"], state["mean"], state["scatter"]
