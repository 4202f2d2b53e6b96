"""The trial parts as a plugin, and the trial methods as pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tests.trials import estimators, parts
from unblur import Component, Pipeline, Registry, Stage, hookimpl
from unblur.compute import Compute
from unblur.operators.convolution import convolve
from unblur.problem import Observation
from unblur.records import Provenance

GRADIENT = "learns-kernel uses-misfit uses-image-penalty uses-kernel-penalty"
NEEDS = "image_prior:learns forward_model:misfit"


def record(name: str, target: type, provides: str = "", requires: str = "", **more: Any) -> Component:
    return Component(
        name=name,
        target=f"{target.__module__}:{target.__qualname__}",
        summary=target.__doc__ or name,
        provides=frozenset(provides.split()),
        requires=frozenset(requires.split()),
        **more,
    )


class Trials:
    @hookimpl
    def unblur_forward_models(self) -> Iterable[Component]:
        linear = "linear stationary"
        single = "kernel_prior:single"
        yield record("valid", parts.Valid, linear, single, params=parts.KernelSizeParams)
        searched = single + " kernel_prior:learns"  # a known kernel stays where it is
        yield record("located", parts.Located, linear, searched, params=parts.KernelSizeParams)
        yield record("periodic", parts.Periodic, linear + " periodic", single, params=parts.KernelSizeParams)
        yield record("svola", parts.Svola, "grid-model", "kernel_prior:grid", params=parts.GridParams)
        yield record("flow", parts.Flow, "video", "kernel_prior:flow", dims=frozenset({2}))
        yield record("squares", parts.Squares, role="misfit", params=parts.WeightParams)
        yield record("huber", parts.Huber, role="misfit", params=parts.WeightParams)
        yield record("ssim", parts.OneMinusSsim, role="misfit", params=parts.WeightParams)

    @hookimpl
    def unblur_image_priors(self) -> Iterable[Component]:
        yield record("pixels", parts.Pixels, "learns pixels")
        yield record("network", parts.Network, "learns")
        yield record("random-network", parts.RandomNetwork, "learns random", params=parts.RandomParams)
        whole = "forward_model:stationary"
        yield record("replaced", parts.Replaced, "learns random fed", whole, dims=frozenset({2}))
        yield record("deblurrer", parts.Deblurrer, "learns fed", "forward_model:video", dims=frozenset({2}))
        for name, penalty in (("tv", parts.Tv), ("l1l2", parts.L1L2)):
            yield record(name, penalty, role="penalty", params=parts.SmallWeightParams)

    @hookimpl
    def unblur_kernel_priors(self) -> Iterable[Component]:
        yield record("known", parts.Known, "fixed takes-psf single grid")
        yield record("logits", parts.Logits, "learns single grid")
        yield record("free-kernel", parts.FreeKernel, "learns pixels single grid")
        yield record("siren", parts.Siren, "learns single")
        yield record("flow-network", parts.FlowNetwork, "learns flow needs-latent", dims=frozenset({2}))
        yield record("kernel-squares", parts.SmallSquares, role="penalty", params=parts.SmallWeightParams)

    @hookimpl
    def unblur_estimators(self) -> Iterable[Component]:
        for name, kind in (("joint", estimators.Joint), ("ensemble", estimators.Ensemble)):
            yield record(name, kind, GRADIENT, NEEDS, params=estimators.AdamParams)
        yield record("averaging", estimators.Averaging, GRADIENT, NEEDS, params=estimators.AdamParams)
        yield record("alternating", estimators.Alternating, GRADIENT, NEEDS, params=estimators.AdamParams)
        yield record("langevin", estimators.Langevin, GRADIENT, NEEDS, params=estimators.LangevinParams)
        yield record("diverging", estimators.Diverging, GRADIENT, NEEDS, params=estimators.DivergingParams)
        tuning = "learns-kernel uses-misfit"
        yield record("fine-tune", estimators.FineTune, tuning, NEEDS, params=estimators.AdamParams)
        pixels = "image_prior:pixels forward_model:linear"
        yield record("rl", estimators.RichardsonLucy, "", pixels + " kernel_prior:fixed")
        yield record("blind-rl", estimators.BlindRichardsonLucy, "learns-kernel", pixels + " kernel_prior:pixels")

    @hookimpl
    def unblur_stopping_rules(self) -> Iterable[Component]:
        yield record("ends-run", parts.EndsRun, params=parts.AtParams)
        yield record("ends-stage", parts.EndsStage, params=parts.AtParams)
        yield record("last", parts.Last, role="selector")
        yield record("best-misfit", parts.BestMisfit, role="selector")
        yield record("moving-variance", parts.MovingVariance, role="selector")


def registry() -> Registry:
    made = Registry()
    made.register(Trials(), Provenance("trials", "tests", "0"))
    assert not made.failures, made.failures
    return made


def compute() -> Compute:
    return Compute.choose("cpu", "float32", threads=1)


def scene(frames: int = 1, channels: int = 1, size: int = 32, seed: int = 0) -> Tensor:
    """Sharp frames: boxes on a ramp, from 0.1 to 0.9."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.linspace(0.1, 0.3, size).expand(frames, channels, size, size).clone()
    for _ in range(8):
        row, column, height, width = (int(n) for n in torch.randint(2, size - 10, (4,), generator=rng))
        image[..., row : row + height % 9 + 3, column : column + width % 9 + 3] += 0.2
    return image.clamp(0, 0.9)


def kernel(size: int = 5) -> Tensor:
    """A diagonal stroke."""
    weights = torch.eye(size) + 0.5 * torch.eye(size).roll(1, 1).triu()
    return (weights / weights.sum())[None]


def blurred(frames: int = 1, psf: bool = False, size: int = 32, channels: int = 1) -> Observation:
    sharp = scene(frames, channels, size + 4)
    return Observation(convolve(sharp, kernel()), psf=kernel() if psf else None, white_level=1.0)


def video() -> Observation:
    sharp = torch.cat([scene().roll(shift, -1) for shift in (-1, 0, 1)])
    pairs = [(convolve(scene(seed=n, size=36), kernel()), scene(seed=n, size=36)[..., 2:-2, 2:-2]) for n in (3, 4)]
    blurry = torch.stack([sharp, sharp.roll(1, -1), sharp.roll(-1, -1)]).mean(0)
    return Observation(blurry, white_level=1.0, pairs=pairs)


NONBLIND = Pipeline("valid", "pixels", "known", "rl", stages=[Stage(15)])
STEPS = [Stage(25)]
METHODS: dict[str, Pipeline] = {
    "selfdeblur": Pipeline(["valid", "squares"], ["network", "tv"], "logits", "joint", "last", STEPS),
    "mc-mapk": Pipeline(
        ["valid", "squares"], "random-network", ["logits", "kernel-squares"], "alternating", stages=STEPS
    ),
    "sa-dropout": Pipeline(["valid", "squares"], "replaced", "known", "ensemble", stages=STEPS),
    "practical-bid": Pipeline(
        [("located", {"kernel_size": 0}), "huber"],
        ["network", "l1l2"],
        "siren",
        "joint",
        ["moving-variance"],
        STEPS,
    ),
    "mcem": Pipeline(
        ["svola", "squares"],
        "network",
        "logits",
        ("langevin", {"image_rate": 3e-3}),
        stages=[Stage(30), Stage(20, set={"forward_model.grid": 2})],
    ),
    "reblur2deblur": Pipeline(["flow", "squares"], "deblurrer", "flow-network", "fine-tune", stages=STEPS),
    "richardson-lucy": NONBLIND,
    "blind-richardson-lucy": Pipeline("valid", "pixels", "free-kernel", "blind-rl", stages=[Stage(10)]),
    "two-stage": Pipeline(["valid", "squares"], "network", "logits", "joint", stages=STEPS, then=NONBLIND),
    "coarse-to-fine": Pipeline(
        [("valid", {"kernel_size": 9}), "squares"],
        "network",
        "logits",
        "joint",
        stages=[Stage(12, scale=0.5), Stage(12), Stage(12, support="shrink")],
    ),
    "shared-kernel": Pipeline(
        ["valid", "squares"],
        "network",
        "logits",
        "joint",
        stages=[Stage(15, frames=(1,), crop=((2, 30), (0, 28)))],
        then=NONBLIND,
    ),
}


def observation_for(name: str) -> Observation:
    if name == "reblur2deblur":
        return video()
    known = "known" in {part.name for part in METHODS[name].slots["kernel_prior"]}
    return blurred(frames=3 if name == "shared-kernel" else 1, psf=known)
