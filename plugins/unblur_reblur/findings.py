"""What speaks against the explanation by flow: motion out of range, curved motion, collapse to the identity."""

from __future__ import annotations

import torch
from torch import Tensor

from unblur.components import Estimate
from unblur.operators.flow_blur import flow_blur
from unblur_reblur.flows import flows_of

MOVING = 1.0
"""Pixels of blur above which a pixel counts as moving."""

OFTEN = 0.02
"""Part of the moving pixels from which on something is worth a warning."""

CURVED = 45.0
"""Degrees between the way in and the way out above which motion counts as strongly curved."""

UNCHANGED = 0.1
"""A change below this part of what the flow says that blur took away is none: the network returned its input."""


def findings(estimate: Estimate, observed: Tensor, ends: Tensor, reach: int) -> list[str]:
    """Warnings for frames (frames, channels, height, width) and their flow kernels, in words.

    Args:
        estimate: latent frames and flow (4 n or 2, height, width).
        observed: the blurred frames, in the units of the estimate.
        ends: of the paths of the explained frames (n, 2, 2, height, width), in pixels, not cut off.
        reach: of the forward model.
    """
    flow = flows_of(estimate.kernel)
    found = []
    moving = ends.norm(dim=2).amax(1) > MOVING
    count = int(moving.sum())
    if count:
        beyond = (ends.abs().amax((1, 2)) > reach) & moving
        if (part := int(beyond.sum()) / count) > OFTEN:
            found.append(
                f"motion beyond the range: {part:.0%} of the moving pixels move more than {reach} pixels during half "
                "the exposure, where the kernels end; a larger reach, or a smaller image, would hold them"
            )
        if flow.shape[1] == 2 and (part := _curved(flow, moving)) > OFTEN:
            found.append(
                f"strongly curved motion: {part:.0%} of the moving pixels turn by more than {CURVED:.0f} degrees "
                "within the frame, which two straight lines do not describe"
            )
    return [*found, *_collapse(estimate, observed, ends.clamp(-reach, reach), moving)]


def _curved(flow: Tensor, moving: Tensor) -> float:
    """Part of the moving pixels whose motion before and after the frame differ in direction."""
    before, after = flow[:, 0], -flow[:, 1]
    lengths = before.norm(dim=1) * after.norm(dim=1)
    cosine = (before * after).sum(1) / lengths.clamp_min(1e-12)
    turned = (cosine < torch.cos(torch.deg2rad(cosine.new_tensor(CURVED)))) & (lengths > MOVING**2) & moving
    return int(turned.sum()) / int(moving.sum())


def _collapse(estimate: Estimate, observed: Tensor, ends: Tensor, moving: Tensor) -> list[str]:
    """The identity explains every video if nothing moves; so it is looked for where something does."""
    explained = slice(1, 1 + len(ends))
    change = (estimate.image[explained] - observed[explained]).square().mean(1).sqrt()
    if not bool(moving.any()):
        scale = float(observed.std())
        if float(change.mean()) < 1e-3 * scale:
            return [
                "nothing moves and nothing was changed: either the frames are not blurred, or network and flow have "
                "collapsed to the identity"
            ]
        return []
    # What a further blur along the same flow would take away is about what the first one took.
    lost = torch.cat(
        [
            (flow_blur(frame[None], path[None]) - frame).square().mean(1).sqrt()
            for frame, path in zip(observed[explained], ends, strict=True)
        ]
    )
    if float(change[moving].mean()) < UNCHANGED * float(lost[moving].mean()):
        return ["collapse to the identity: the frames move, but the network returns them nearly as they were"]
    return []
