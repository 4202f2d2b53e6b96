"""The untrained peers: back-projection, deep decoder, what follows the noise."""

from __future__ import annotations

import pytest
import torch

from tests.sadropout.small import CPU, generator, made
from unblur import Pipeline, Stage, default_registry
from unblur.components import Batch, Clock, Context, Info
from unblur.composition import resolve
from unblur.errors import CompositionError, ParameterError
from unblur.operators.convolution import Convolution
from unblur.testing.worlds import photograph
from unblur_sadropout.decoder import DeepDecoder
from unblur_sadropout.noise import NoiseSteps, SquaredOverNoise
from unblur_sadropout.params import NoiseStepsParams, SquaredOverNoiseParams

CLOCK = Clock(0, 10)


def back_projection(boundary: str, **forward: object) -> Pipeline:
    return Pipeline(
        forward_model=[("convolution", {"boundary": boundary}), *forward],
        image_prior="pixels",
        kernel_prior="known",
        estimator=("back-projection", {"epsilon": 1e-2}),
        stages=[Stage(steps=10)],
    )


def test_back_projection_against_the_matrix() -> None:
    """Mean of r^T (H H^T + epsilon)^-1 r, with H as a matrix, where the blur is periodic."""
    problem, state = made(back_projection("periodic"), photograph((9, 8), (3, 5)))
    kernel = problem.kernel(problem.batch.observed, CLOCK, None)
    blur = Convolution(kernel, (9, 8), "periodic")
    matrix = torch.stack([blur.forward(one.view(1, 1, 9, 8)).flatten() for one in torch.eye(72)], 1).double()
    residual = torch.rand((1, 1, 9, 8), generator=generator())
    r = residual.flatten().double()
    direct = r @ torch.linalg.solve(matrix @ matrix.T + 1e-2 * torch.eye(72), r) / 72
    assert float(state.misfit(residual)) == pytest.approx(float(direct), rel=1e-4)


@pytest.mark.parametrize("boundary", ["valid", "same"])
def test_back_projection_is_positive_and_zero_for_a_perfect_prediction(boundary: str) -> None:
    problem, state = made(back_projection(boundary), photograph((20, 17), (5, 3)))
    observed = problem.batch.observed
    assert float(state.misfit(torch.zeros_like(observed))) == 0
    assert float(state.misfit(torch.rand(observed.shape, generator=generator()) - 0.5)) > 0


def test_back_projection_brings_lost_frequencies_back_sooner() -> None:
    """After as many steps the residual that the blur had weakened most is smaller than with squares."""
    found = {}
    observation = photograph((32, 32), (5, 5))
    observation.pixels = Convolution(observation.psf, (36, 36), "valid").forward(
        torch.rand((1, 1, 36, 36), generator=generator(3))
    )
    for name, misfits in (("back-projection", []), ("joint-adam", ["squared"])):
        pipe = Pipeline(["convolution", *misfits], "pixels", "known", name, stages=[Stage(steps=100)])
        pipe = pipe.set({"estimator.image_rate": 3e-3})
        problem, state = made(pipe, observation)
        for step in range(100):
            info = problem.estimator.step(problem, state, problem.batch, Clock(step, 100))
        image = info.draw.latent.detach()
        residual = problem.predict(image, problem.kernel(image, CLOCK, None)) - problem.batch.observed
        _, weighing = made(back_projection("valid"), observation)
        found[name] = float(weighing.misfit(residual))
    assert found["back-projection"] < found["joint-adam"]


def test_back_projection_needs_a_linear_known_blur() -> None:
    registry = default_registry()
    with pytest.raises(CompositionError, match="linear"):
        back_projection("valid", gamma=None).check(registry)
    with pytest.raises(CompositionError, match="learns-kernel"):
        back_projection("valid").set({"kernel_prior": "free"}).check(registry)


def test_a_penalty_beside_squares_over_noise_weighs_by_the_noise() -> None:
    given = SquaredOverNoise(SquaredOverNoiseParams(noise=0.05))
    predicted, observed = (torch.rand((1, 1, 6, 7), generator=generator(seed)) for seed in (1, 2))
    given.init(Batch(observed), Context(CPU, generator()))
    squares = (predicted - observed).square()
    torch.testing.assert_close(given(predicted, observed, None), squares.mean() / 0.05)
    weight = (torch.rand(observed.shape, generator=generator(3)) > 0.5).float()
    torch.testing.assert_close(given(predicted, observed, weight), squares[weight > 0].mean() / 0.05)


def test_the_noise_is_estimated() -> None:
    noisy = 0.5 + 0.04 * torch.randn((1, 1, 64, 64), generator=generator())
    context = Context(CPU, generator())
    misfit = SquaredOverNoise(SquaredOverNoiseParams())
    misfit.init(Batch(noisy), context)
    assert misfit.noise == pytest.approx(0.04, rel=0.1)
    assert any("estimated" in note for note in context.notes)


@pytest.mark.parametrize(("noise", "steps"), [(0.004, 100), (0.02, 80), (0.03, 60), (0.1, 40)])
def test_steps_follow_the_noise(noise: float, steps: int) -> None:
    observation = photograph((64, 64), (3, 3))
    observation.pixels = 0.5 + noise * torch.randn((1, 1, 64, 64), generator=generator(1))
    rule = NoiseSteps(NoiseStepsParams(steps=(100, 60, 40)))
    problem, _ = made(Pipeline(["convolution", "squared"], "pixels", "known", "joint-adam"), observation)
    rule.init(problem)
    stopped = next(n for n in range(1, 200) if rule.update(Info(torch.zeros(()), None), Clock(n, 200)))  # type: ignore[arg-type]
    assert stopped == pytest.approx(steps, abs=4)


@pytest.mark.parametrize(("noise", "steps"), [(0.01, 4000), (0.03, 4000), (0.06, 2000)])
def test_the_quick_presets_end_before_they_fit_strong_noise(noise: float, steps: int) -> None:
    observation = photograph((64, 64), (3, 3))
    observation.pixels = 0.5 + noise * torch.randn((1, 1, 64, 64), generator=generator(1))
    pipeline = default_registry().method("sa-dropout").pipeline()
    rule = resolve(pipeline, default_registry()).having("stopping", "rule")[0].build()
    problem, _ = made(Pipeline(["convolution", "squared"], "pixels", "known", "joint-adam"), observation)
    rule.init(problem)
    assert rule.steps == steps <= pipeline.stages[0].steps


def test_a_table_that_does_not_fit_is_refused() -> None:
    pipe = Pipeline(
        ["convolution", "squared"], "pixels", "known", "joint-adam", stopping=[("noise-steps", {"steps": (5, 3)})]
    )
    with pytest.raises(ParameterError, match="as many"):
        resolve(pipe, default_registry())


@pytest.mark.parametrize("shape", [(40, 37), (9, 20, 13)])
def test_a_deep_decoder_has_fewer_parameters_than_pixels_and_any_size(shape: tuple[int, ...]) -> None:
    network = DeepDecoder(2, rng=generator(), channels=(8, 8, 8), dims=len(shape))
    low = [-(-size // 8) for size in shape]
    out = network(torch.rand((1, 8, *low), generator=generator(1)), shape)
    assert out.shape == (1, 2, *shape)
    paper = DeepDecoder(1, rng=generator(), channels=(128,) * 5)
    assert sum(parameter.numel() for parameter in paper.parameters()) == pytest.approx(6 * 128**2, rel=0.03)
