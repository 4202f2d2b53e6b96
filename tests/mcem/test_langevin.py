"""The sampler alone, and as the estimator on a linear Gaussian problem, against the known posterior."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.mcem.small import CPU, generator
from unblur import Pipeline, Stage
from unblur.components import Clock
from unblur.composition import resolve
from unblur.problem import Observation, build
from unblur.registry import default_registry
from unblur.testing.worlds import kernels, smooth
from unblur_mcem.langevin import Langevin

SIDE = 12
NOISE = 0.05


def variances(sampler: Langevin, curvature: Tensor, rate: float, temperature: float, steps: int, skip: int) -> Tensor:
    """Second moments of the parameter under L = curvature θ² / 2."""
    [theta] = sampler.parameters
    rng, total = generator(1), torch.zeros_like(theta)
    for step in range(steps):
        sampler.step([curvature * theta], rate, temperature, rng)
        if step >= skip:
            total += theta**2
    return total / (steps - skip)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_plain_dynamics_have_the_variance_of_the_density(momentum: float) -> None:
    curvature = torch.tensor([1.0, 2.0, 4.0]).repeat(400, 1)
    sampler = Langevin([torch.zeros(400, 3)], generator(0), preconditioned=False, momentum=momentum)
    found = variances(sampler, curvature, rate=0.02, temperature=0.3, steps=2500, skip=300).mean(0)
    torch.testing.assert_close(found, 0.3 / curvature[0], rtol=0.06, atol=0)


def test_preconditioned_dynamics_have_the_variance_of_the_density() -> None:
    """Curvatures over four orders of magnitude, which plain dynamics could not sample at one step size."""
    curvature = torch.tensor([1e-2, 1.0, 100.0]).repeat(400, 1)
    sampler = Langevin([torch.zeros(400, 3)], generator(0), memory=0.995)
    temperature = 0.3
    start = (temperature / curvature).sqrt()
    sampler.parameters[0].copy_(start * torch.randn(400, 3, generator=generator(2)))
    sampler.squares[0].copy_(curvature * temperature)
    sampler.steps = 100_000
    # The step is ε G curvature = ε sqrt(curvature / temperature) of the way to the mean.
    for column, rate in enumerate((0.5, 0.05, 0.005)):
        only = Langevin([sampler.parameters[0][:, column : column + 1].clone()], generator(3), memory=0.995)
        only.squares[0].copy_(sampler.squares[0][:, column : column + 1])
        only.steps = 100_000
        found = variances(only, curvature[:, column : column + 1], rate, temperature, steps=2500, skip=300)
        assert float(found.mean()) == pytest.approx(temperature / float(curvature[0, column]), rel=0.08)


def test_without_temperature_and_noise_it_is_adam() -> None:
    start = torch.randn(7, generator=generator(0))
    mine, theirs = start.clone(), start.clone().requires_grad_()
    sampler = Langevin([mine], generator(0), memory=0.99, momentum=0.9)
    adam = torch.optim.Adam([theirs], lr=0.03, betas=(0.9, 0.99), eps=1e-8)
    for step in range(20):
        scale = torch.linspace(0.1, 10, 7) * (1 + step % 3)
        sampler.step([scale * mine], 0.03, 0.0, generator(0))
        theirs.grad = scale * theirs.detach()
        adam.step()
    torch.testing.assert_close(mine, theirs.detach())
    assert not torch.equal(mine, start)


def test_without_temperature_plain_dynamics_are_gradient_descent() -> None:
    start = torch.randn(5, generator=generator(0))
    theta, rng = start.clone(), generator(1)
    before = rng.get_state()
    Langevin([theta], generator(0), preconditioned=False).step([2 * theta], 0.1, 0.0, rng)
    torch.testing.assert_close(theta, 0.8 * start)
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("preconditioned", [True, False])
def test_resumed_with_the_same_bits(preconditioned: bool, momentum: float) -> None:
    def fresh(seed: int) -> Langevin:
        return Langevin([torch.ones(4, 3), torch.ones(2)], generator(seed), preconditioned, momentum=momentum)

    def run(sampler: Langevin, rng: torch.Generator, steps: int) -> None:
        for _ in range(steps):
            sampler.step([3 * p for p in sampler.parameters], 0.01, 0.1, rng)

    straight, rng = fresh(0), generator(5)
    run(straight, rng, 3)
    saved = copy.deepcopy(straight.state_dict())
    copied = [p.clone() for p in straight.parameters]
    resumed, again = fresh(9), generator(0)
    resumed.load_state_dict(saved)
    for mine, other in zip(resumed.parameters, copied, strict=True):
        mine.copy_(other)
    again.set_state(rng.get_state())
    run(straight, rng, 3)
    run(resumed, again, 3)
    assert all(torch.equal(one, two) for one, two in zip(straight.parameters, resumed.parameters, strict=True))


def test_it_goes_on_only_where_the_parameters_are_alike() -> None:
    earlier = Langevin([torch.ones(3)], generator(0), momentum=0.9)
    earlier.step([torch.full((3,), 2.0)], 0.01, 0.0, generator(1))
    later = Langevin([torch.ones(3)], generator(0), momentum=0.9)
    assert later.take_over(earlier)
    assert later.steps == 1
    assert torch.equal(later.squares[0], earlier.squares[0])
    assert torch.equal(later.means[0], earlier.means[0])
    for other in (
        Langevin([torch.ones(4)], generator(0), momentum=0.9),
        Langevin([torch.ones(3)], generator(0), momentum=0.0),
        Langevin([torch.ones(3)], generator(0), preconditioned=False, momentum=0.9),
    ):
        assert not other.take_over(earlier)
        assert other.steps == 0


def posterior_problem(estimator: dict[str, Any]) -> tuple[Any, Any, Tensor, Tensor]:
    """Periodic convolution of free pixels with a known kernel, a quadratic penalty, white noise: all is Gaussian.

    Returns the problem, its state, and mean and variance of the posterior for each pixel.
    """
    kernel = kernels(1, (3, 3), seed=4)
    latent = smooth((1, 1, SIDE, SIDE), 1)
    weight = 0.3
    pipeline = Pipeline(
        forward_model=[("convolution", {"boundary": "periodic"}), "squared"],
        image_prior=["pixels", ("l2-gradient", {"weight": weight})],
        kernel_prior="known",
        estimator=("mcem", {"noise": NOISE, "burn_in": 0.0, "output": "mean"} | estimator),
        stages=[Stage(steps=10)],
    )
    observed = latent + NOISE * torch.randn(latent.shape, generator=generator(3))
    observation = Observation(observed, psf=kernel, white_level=1.0)
    problem = build(resolve(pipeline, default_registry()), pipeline.stages[0], observation, CPU, 0, [])
    mean, variance = gaussian_posterior(problem)
    return problem, problem.estimator.init(problem, None), mean, variance


def gaussian_posterior(problem: Any) -> tuple[Tensor, Tensor]:
    """By the Hessian of N (misfit + penalty) / (2 σ²), column by column."""
    clock = Clock(0, 10)
    kernel = problem.kernel(problem.batch.observed, clock, None)
    image = problem.image.parameters()[0]

    def energy(x: Tensor) -> Tensor:
        draw = problem.draw(problem.batch, clock, None)
        draw.latent = x
        loss = problem.misfit(draw, kernel, problem.batch, clock) + problem.penalty(x, kernel, clock)
        return loss * problem.batch.observed.numel() / (2 * NOISE**2)

    def slope(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(energy(x), x)[0]

    zero = torch.zeros_like(image)
    offset = slope(zero)
    columns = [slope(unit.view(image.shape)) - offset for unit in torch.eye(image.numel())]
    hessian = torch.stack([column.flatten() for column in columns]).double()
    covariance = torch.linalg.inv(hessian)
    mean = -covariance @ offset.flatten().double()
    return mean.float().view(image.shape), covariance.diagonal().float().view(image.shape)


@pytest.mark.parametrize(
    ("estimator", "steps"),
    [
        ({"dynamics": "plain", "image_rate": 4.0, "momentum": 0.0}, 1500),
        ({"dynamics": "preconditioned", "image_rate": 2e-3, "memory": 0.999}, 1500),
    ],
    ids=["plain", "preconditioned"],
)
def test_the_estimator_samples_a_known_posterior(estimator: dict[str, Any], steps: int) -> None:
    problem, state, mean, variance = posterior_problem(estimator)
    with torch.no_grad():  # begin near: what is tested is the spread
        problem.image.parameters()[0].copy_(mean + variance.sqrt() * torch.randn(mean.shape, generator=generator(7)))
    skip = 300
    for step in range(skip + steps):
        if step == skip:
            state.kept = type(state.kept)()
        problem.estimator.step(problem, state, problem.batch, Clock(step, skip + steps))
    found = problem.estimator.estimate(problem, state, problem.batch, Clock(steps, steps), generator(1))
    ratio = float((found.spread**2).mean() / variance.mean())
    assert ratio == pytest.approx(1, abs=0.1)
    assert float((found.image - mean).square().mean()) < 0.1 * float(variance.mean())
    pixels = (found.spread**2 / variance).flatten()
    assert float((pixels - 1).abs().mean()) < 0.2
    assert math.isfinite(float(pixels.max()))


def test_temperature_scales_the_variance() -> None:
    spreads = []
    for temperature in (0.25, 1.0):
        problem, state, mean, _ = posterior_problem(
            {"dynamics": "plain", "image_rate": 4.0, "temperature": temperature}
        )
        with torch.no_grad():
            problem.image.parameters()[0].copy_(mean)
        for step in range(500):
            problem.estimator.step(problem, state, problem.batch, Clock(step, 500))
        spreads.append(float(state.kept.std().square().mean()))
    assert spreads[1] / spreads[0] == pytest.approx(4, rel=0.15)
