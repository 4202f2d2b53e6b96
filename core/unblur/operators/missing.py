"""Pixels that are not known, and what lies beyond the borders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor


def filled(image: Tensor, valid: Tensor | None) -> Tensor:
    """Frames (frames, channels, *spatial), where pixels that do not count have the value of the nearest one that does.

    Args:
        valid: of the image's shape, above 0 where a pixel counts; all do if None.
    """
    if valid is None:
        return image
    known = (valid > 0).expand_as(image)
    whole = image.clone()
    for frame in range(image.shape[0]):
        for channel in range(image.shape[1]):
            if bool(known[frame, channel].all()) or not bool(known[frame, channel].any()):
                continue
            missing = (~known[frame, channel]).cpu().numpy()
            places = distance_transform_edt(missing, return_distances=False, return_indices=True)
            indices = tuple(torch.from_numpy(index).to(image.device) for index in places)
            whole[frame, channel] = image[frame, channel][indices]
    return whole


def counted_by_both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Which pixels count where two weights say which do; all do where a weight is None."""
    if first is None or second is None:
        return second if first is None else first
    return first * second


def continued(image: Tensor, grid: Sequence[int]) -> Tensor:
    """On a larger periodic grid: linear from the last pixels of every axis to the first ones."""
    for axis, size in enumerate(grid, 2):
        extra = size - image.shape[axis]
        if extra == 0:
            continue
        share = torch.arange(1, extra + 1, device=image.device, dtype=image.dtype) / (extra + 1)
        share = share.view(-1, *(1,) * (image.ndim - 1 - axis))
        first, last = image.narrow(axis, 0, 1), image.narrow(axis, image.shape[axis] - 1, 1)
        image = torch.cat((image, last + (first - last) * share), axis)
    return image.contiguous()
