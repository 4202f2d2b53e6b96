"""Forward models: the middle frame of three, blurred along the flow from its neighbours."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from unblur.components import Batch, Context, Estimate, ForwardModel, KernelSpec, Shape
from unblur.errors import CompositionError, ImageError
from unblur.operators.flow_blur import flow_blur, flow_warp
from unblur.operators.flow_table import table_blur
from unblur_reblur.findings import findings
from unblur_reblur.flows import flow_count, flows_of
from unblur_reblur.params import FlowBlurParams, FlowModelParams, FlowWarpParams

P = TypeVar("P", bound=FlowModelParams)


class FlowModel(ForwardModel[P]):
    """The frames that have two neighbours, explained by sharp frames and the flow from the neighbours to each.

    The kernels are (4 n, height, width) for n + 2 frames: u and v in pixels from frame t - 1 to t, then from t + 1 to
    t, at the pixels of t. Two frames, which `frames = 2` allows, have the flow from the first to the second alone, (2,
    height, width).
    Outside, the frames go on with their border values.
    """

    @abstractmethod
    def blur(self, frames: Tensor, ends: Tensor) -> Tensor:
        """Frames (n, channels, height, width) gathered along paths (n, paths, 2, height, width)."""

    def spec(self, observed: Shape, context: Context) -> KernelSpec:
        frames, _, *spatial = observed
        if frames < self.params.frames:
            raise ImageError(
                f"{frames} frame{'s' if frames > 1 else ''}: the motion is seen between at least {self.params.frames} "
                "consecutive frames; give a series with a T axis"
            )
        return KernelSpec(tuple(spatial), flow_count(frames), "flow")

    def latent_shape(self, observed: Shape, spec: KernelSpec) -> Shape:
        return observed

    def ends(self, kernel: Tensor) -> Tensor:
        """Ends of the paths of every explained frame (n, 2, 2, height, width), in pixels, cut off at `reach`."""
        return self._whole_ends(kernel).clamp(-self.params.reach, self.params.reach)

    def _whole_ends(self, kernel: Tensor) -> Tensor:
        """Where the paths end, however long they are.

        Reading: between its neighbours a frame moves with constant velocity and acceleration, x(t) = v t + a t² / 2, of
        which the flows are x(-1) and x(1). With tau = 1, which is the paper's, the ends are the flows.
        """
        flows, tau = flows_of(kernel), self.params.tau
        if self.params.frames == 2:
            return tau * torch.cat([flows[:, :1], -flows[:, :1]], dim=1)
        bend = flows.mean(dim=1, keepdim=True)
        return tau * (flows - bend) + tau**2 * bend

    def predict(self, latent: Tensor, kernel: Tensor) -> Tensor:
        ends = self.ends(kernel)
        explained = latent[1 : 1 + len(ends)]
        return torch.cat([self.blur(frame[None], path[None]) for frame, path in zip(explained, ends, strict=True)])

    def adjoint(self, residual: Tensor, kernel: Tensor, shape: Shape) -> Tensor:
        with torch.enable_grad():
            latent = residual.new_zeros(shape).requires_grad_()
            predicted = self.predict(latent, kernel.detach())
        return torch.autograd.grad(predicted, latent, residual)[0]

    def kernel_adjoint(self, residual: Tensor, latent: Tensor, spec: KernelSpec) -> Tensor:
        raise CompositionError("blur along a flow is not linear in the flow: it has no adjoint there, only a gradient")

    def target(self, batch: Batch) -> Batch:
        explained = slice(1, max(2, len(batch.observed) - 1))
        valid = None if batch.valid is None else batch.valid[explained]
        return Batch(batch.observed[explained], tuple(batch.frames)[explained], valid)

    def crop(self, estimate: Estimate, batch: Batch) -> Estimate:
        return estimate

    def findings(self, estimate: Estimate, batch: Batch) -> list[str]:
        return findings(estimate, batch.observed, self._whole_ends(estimate.kernel), self.params.reach)


class FlowBlur(FlowModel[FlowBlurParams]):
    """Piecewise-linear motion kernels, eq. 8: each pixel is the mean over two straight lines that begin at it.

    The lines end where the pixel is when the exposure begins and ends. Readings: each line has the weight 1/2 (as
    printed, eq. 8 is not normalised), a line of length zero is a point, and kernels gather: predicted(p) = sum_d
    K(p)[d] I(p + d).
    `table` is the lookup table with the gradients of eq. 9, `lines` samples the image along the lines.
    """

    def blur(self, frames: Tensor, ends: Tensor) -> Tensor:
        if self.params.form == "table":
            return table_blur(frames, ends, self.params.reach)
        return flow_blur(frames, ends)


class FlowWarp(FlowModel[FlowWarpParams]):
    """The sharp frame warped towards its neighbours and averaged (section 4.3): faster, as good in Table 3."""

    def blur(self, frames: Tensor, ends: Tensor) -> Tensor:
        return flow_warp(frames, ends, self.params.samples)
