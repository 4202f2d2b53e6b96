"""Misfits between prediction and observation; pixels of weight zero count for nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unblur.components import Batch, Context, Misfit
from unblur.operators.missing import filled
from unblur.operators.noise import noise_std, tells_noise, without_outliers
from unblur.operators.windows import SSIM_SIGMA, SSIM_STEADY, SSIM_TAPS, gaussian_taps, local_ssim, window_mean
from unblur_classical.noise import OUTLYING, outlying
from unblur_classical.part_params import HuberParams, PoissonParams, SquaredParams, SsimParams

_DARK = 1e-3
"""Part of the peak below which predictions have the logarithm continued as a straight line, where it is less than"""

_FAINT = 0.5
"""photons: below them all counts but zero would be pulled up to where the line begins."""

_STRUCTURE = 0.03**2
"""The constant that steadies the structure term of SSIM without noise."""

_FEW = 1e-6
"""Photons that stand for none where they divide."""


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of `values` with weights that broadcast to their shape; zero where all weights are zero."""
    if weight is None:
        return values.mean()
    return (values * weight).sum() / weight.expand_as(values).sum().clamp_min(1e-12)


class Squared(Misfit[SquaredParams]):
    """Mean of (predicted - observed)²."""

    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            return F.mse_loss(predicted, observed)
        return weighted_mean((predicted - observed).square(), weight)


class Huber(Misfit[HuberParams]):
    """Mean of r²/2 where the residual r is below delta, delta (|r| - delta/2) above."""

    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            return F.huber_loss(predicted, observed, delta=self.params.delta)
        return weighted_mean(F.huber_loss(predicted, observed, reduction="none", delta=self.params.delta), weight)


class Poisson(Misfit[PoissonParams]):
    """Mean Poisson deviance 2 (λ - n + n log(n / λ)) of n observed for λ predicted photons.

    It is near 1 where the residual is photon noise, zero for a perfect prediction. Read noise of variance v is taken
    as v more photons in n and in λ (the shifted Poisson model of Snyder et al. 1995). Below half a photon, or a
    thousandth of the peak if that is less, λ is held and log λ goes on as a straight line, so that the misfit stays
    finite and convex in predictions of any sign.
    """

    photons = 1.0

    def init(self, batch: Batch, context: Context) -> None:
        given = self.params.photons
        self.photons = given if given is not None else context.photons or 1.0
        if given is None:
            context.note(
                f"poisson: intensities are taken as photons, {self.photons:.4g} at the peak; a camera response or "
                "forward_model.poisson.photons says otherwise"
            )

    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        dark = min(_DARK * self.photons, _FAINT) + self.params.read_noise**2
        counts = (observed * self.photons + self.params.read_noise**2).clamp_min(0)
        raw = predicted * self.photons + self.params.read_noise**2
        bright, below = raw.clamp_min(dark), raw.clamp_max(dark) / dark - 1
        positive = counts.clamp_min(_FEW)
        logarithm = torch.log1p((bright - positive) / positive) + below  # of λ / n
        return 2 * weighted_mean(bright - counts - counts * logarithm, weight)


class Ssim(Misfit[SsimParams]):
    """One minus the mean local SSIM (11-pixel Gaussian windows, data range 1), robust to noise on request.

    At a resolution at which the image is narrower, the windows are as wide as it holds.
    A window counts by the weight that lies in it; within it, pixels of weight zero are taken as predicted perfectly.
    Where noise prevails, the misfit is the squared distance from the window's mean over a constant, so that penalties
    weigh more against it the stronger the noise is.
    """

    noise = 0.0
    scale = 1.0
    window = SSIM_TAPS
    kept: Tensor | None = None

    def init(self, batch: Batch, context: Context) -> None:
        narrowest = min(batch.observed.shape[2:])
        self.window = min(SSIM_TAPS, narrowest - 1 + narrowest % 2)
        if self.window < SSIM_TAPS and context.scale == 1:
            context.note(f"ssim: windows of {self.window} pixels instead of {SSIM_TAPS}, since the image holds no more")
        if self.params.robust:
            cleaned, self.kept = without_outliers(filled(batch.observed, batch.valid), floor=OUTLYING)
            if not tells_noise(cleaned.shape[2:]):
                context.note("ssim: noise taken as zero at resolutions that are too small to tell it")
                return
            self.noise = float(noise_std(cleaned, valid=batch.valid).mean())
            self.scale = _STRUCTURE / (_STRUCTURE + SSIM_STEADY * self.noise**2)
            if context.scale == 1:
                context.note(f"ssim: noise estimated as {self.noise:.3g} of the peak; {outlying(self.kept, batch)}")

    def __call__(self, predicted: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
        if self.kept is not None:
            kept = self.kept
            if kept.shape != observed.shape:  # a window of a series
                kept = without_outliers(observed.detach(), floor=OUTLYING)[1]
            weight = kept if weight is None else weight * kept
        if weight is None:
            return self.scale * (1 - local_ssim(predicted, observed, noise=self.noise, window=self.window).mean())
        counted = torch.lerp(observed, predicted, weight)
        windows = window_mean(weight.expand_as(observed), gaussian_taps(self.window, SSIM_SIGMA))
        return self.scale * weighted_mean(
            1 - local_ssim(counted, observed, noise=self.noise, window=self.window), windows
        )
