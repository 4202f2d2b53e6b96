"""Kernel networks begin with the kernel that they are given, or that `then` hands over, and may be held there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import unblur
from unblur import Pipeline, Stage
from unblur.components import Clock, Context, KernelPrior, KernelSpec
from unblur.composition import resolve
from unblur.compute import Compute
from unblur.errors import ImageError
from unblur.registry import default_registry
from unblur.testing.worlds import photograph

CPU = Compute(torch.device("cpu"), "float32", 1)
NETWORKS = ["fully-connected", "siren", "kernel-unet", "multi-head-unet"]


def chain(network: str, kernel_rate: Any, steps: int = 4) -> Pipeline:
    """A kernel found by edges, and handed to networks."""
    networks = Pipeline(
        forward_model=["convolution", "squared"],
        image_prior=("encoder-decoder", {"levels": 2, "channels": (8,), "input_channels": 4}),
        kernel_prior=network,
        estimator=("joint-adam", {"kernel_rate": kernel_rate}),
        stages=[Stage(steps=steps)],
    )
    return Pipeline(
        forward_model=("convolution", {"kernel_size": (5, 7)}),
        image_prior="pixels",
        kernel_prior="free",
        estimator="l0-gradient",
        stages=[Stage(steps=3)],
        then=networks,
    )


def begun(name: str, psf: Tensor | None, shape: tuple[int, ...], notes: list[str]) -> KernelPrior[Any]:
    pipeline = Pipeline("convolution", "pixels", name, "joint-adam")
    prior: KernelPrior[Any] = resolve(pipeline, default_registry()).base("kernel_prior").build()
    context = Context(CPU, torch.Generator().manual_seed(0), notes=notes)
    context.psf = psf
    with CPU.running():
        prior.init(KernelSpec(shape), context)
    return prior


def drawn(prior: KernelPrior[Any]) -> Tensor:
    return prior.kernel(torch.zeros(1), Clock(0, 1), None).detach()


def similarity(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum() / (first.norm() * second.norm()))


def path(shape: tuple[int, int]) -> Tensor:
    """A bent path with weights of several sizes."""
    kernel = torch.zeros(1, *shape)
    for step in range(7):
        kernel[0, 2 + step, 3 + step * step // 9] = 1 + step % 3
    return kernel / kernel.sum()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_begins_with_the_psf(name: str) -> None:
    wanted, notes = path((11, 13)), list[str]()
    assert similarity(drawn(begun(name, wanted, (11, 13), notes)), wanted) > 0.99
    assert similarity(drawn(begun(name, None, (11, 13), notes)), wanted) < 0.6
    assert notes == ["the kernel begins with the PSF that was given or found before, and changes from there"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_psf_of_another_size_is_cut_or_padded_about_its_origin(name: str) -> None:
    wanted = path((11, 13))
    larger = drawn(begun(name, wanted, (15, 15), []))
    assert similarity(larger[:, 2:-2, 1:-1], wanted) > 0.99
    with pytest.raises(ImageError, match="in 3-D"):
        begun(name, torch.ones(1, 3, 3, 3) / 27, (15, 15), [])


@pytest.mark.parametrize("name", ["fully-connected", "siren", "kernel-unet"])
def test_a_kernel_that_is_handed_over_stays_while_its_rate_is_zero(name: str) -> None:
    """The image network catches up first: an image that is still noise would drive the kernel away."""
    image = photograph((30, 33), (5, 7)).pixels[0, 0].numpy()
    edges = chain(name, 0.0)
    found = unblur.deblur(image, pipeline=edges.replace(then=None))
    held = unblur.deblur(image, pipeline=edges)
    freed = unblur.deblur(image, pipeline=chain(name, ((0.0, 0.0), (0.5, 1e-2))))
    start = torch.from_numpy(found.kernel)
    assert similarity(torch.from_numpy(held.kernel), start) > 0.99
    assert similarity(torch.from_numpy(freed.kernel), start) < similarity(torch.from_numpy(held.kernel), start)
