"""Kernel priors: flow from the neighbours to each frame, by a network, by a classical algorithm, or known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.registration import optical_flow_ilk, optical_flow_tvl1
from torch import Generator, Tensor, nn

from unblur.components import Clock, Context, KernelPrior, KernelSpec, Transfer
from unblur.errors import FileError, ImageError
from unblur.operators.resample import resize
from unblur_reblur import weights
from unblur_reblur.flownet import FlowNetS
from unblur_reblur.flows import pairs_of
from unblur_reblur.layers import COLOURS, in_colour
from unblur_reblur.params import ClassicalFlowParams, FlowNetParams, KnownFlowParams


class FlowNetPrior(KernelPrior[FlowNetParams]):
    """The flow between the deblurred frames by FlowNetS: -f(I(t), I(t-1); theta) and -f(I(t), I(t+1); theta), eq. 3-4.

    Reading: eq. 3 to the letter, f(I(t-1), I(t)), is the same motion at the pixels of the neighbour; but the kernels
    belong to those of the frame that is blurred again, and at the edge of an object the two differ. The gradient
    reaches the flow network and, with `through`, the deblurring network through it. Of frames with another number of
    channels than three the network sees the mean.
    """

    network: nn.Module

    def init(self, spec: KernelSpec, context: Context) -> None:
        width = self.params.width
        network = FlowNetS(context.rng, width)
        wanted = weights.Wanted("kernel_prior", "flownet", width, {"flow_width": width})
        weights.fill(network, self.params.weights, wanted, context)
        self.compute = context.compute
        self.network = context.compute.place(network)

    def start_from(self, earlier: KernelPrior[Any], kernel: Tensor, transfer: Transfer) -> None:
        """The weights of the earlier stage's network."""
        if isinstance(earlier, FlowNetPrior):
            self.network.load_state_dict(earlier.network.state_dict())

    def parameters(self) -> Sequence[Tensor]:
        return list(self.network.parameters())

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        frames = latent if self.params.through else latent.detach()
        if frames.shape[1] != COLOURS:
            frames = in_colour(frames.mean(1, keepdim=True))
        pairs = pairs_of(frames)
        if torch.is_grad_enabled():
            first, second = (torch.cat(side) for side in zip(*pairs, strict=True))
            flow = self._flow(first, second)
        else:
            flow = torch.cat([self._flow(*pair) for pair in pairs])
        return flow.flatten(0, 1)

    def _flow(self, first: Tensor, second: Tensor) -> Tensor:
        with self.compute.autocast():
            found: Tensor = self.network(self.compute.lay(first), self.compute.lay(second))
        return -found.float()

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])


class ClassicalFlow(KernelPrior[ClassicalFlowParams]):
    """The flow between the deblurred frames by scikit-image: iterative Lucas-Kanade or TV-L1.

    It needs no training and has nothing to learn; the gradient reaches the deblurring network past the flow only.
    Colours are averaged. Outliers of iterative Lucas-Kanade are removed by a median of 3 x 3 pixels between its steps.
    """

    def init(self, spec: KernelSpec, context: Context) -> None:
        self.compute = context.compute

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        grey = latent.detach().mean(1, keepdim=True).double().cpu()
        flows = [self._flow(first[0, 0].numpy(), second[0, 0].numpy()) for first, second in pairs_of(grey)]
        return -self.compute.tensor(np.concatenate(flows))

    def _flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if self.params.algorithm == "ilk":
            rows_first = optical_flow_ilk(first, second, radius=self.params.radius, prefilter=True)
        else:
            rows_first = optical_flow_tvl1(first, second, attachment=self.params.attachment)
        return np.asarray(rows_first[::-1])


class KnownFlow(KernelPrior[KnownFlowParams]):
    """A flow that does not change: from a file, handed over by an earlier pipeline, or no motion at all."""

    whole = True
    """It belongs to the whole frames: a window of them needs its part of it."""

    def init(self, spec: KernelSpec, context: Context) -> None:
        shape = (spec.count, *spec.shape)
        if self.params.file:
            self.flow = context.compute.tensor(self._read(shape))
        elif context.psf is not None and context.psf.shape[:-2] == shape[:-2]:
            ratio = shape[-1] / context.psf.shape[-1]  # a stage of another resolution
            self.flow = context.psf if ratio == 1 else resize(context.psf[None], shape[-2:], "linear")[0] * ratio
        else:
            given = "none" if context.psf is None else f"a kernel of shape {tuple(context.psf.shape)}"
            context.note(f"no flow was given ({given}, where a flow has {shape}): nothing moves")
            self.flow = torch.zeros(shape, device=context.compute.device)

    def _read(self, shape: tuple[int, ...]) -> np.ndarray:
        path = Path(self.params.file)
        try:
            flow = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise FileError(path, f"cannot be read as a NumPy file: {error}") from error
        if flow.size != np.prod(shape) or flow.shape[-2:] != shape[-2:] or flow.dtype.kind not in "fiu":
            raise ImageError(f"{path}: a flow of shape {flow.shape} and type {flow.dtype}; expected {shape}")
        if not np.isfinite(flow).all():
            raise ImageError(f"{path}: a flow that is not finite everywhere")
        return np.asarray(flow.reshape(shape), dtype=np.float32)

    def kernel(self, latent: Tensor, clock: Clock, rng: Generator | None) -> Tensor:
        return self.flow
