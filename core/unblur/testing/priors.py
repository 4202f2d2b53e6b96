"""Rules for image and kernel priors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from unblur.components import Batch, KernelSpec, Shape, Transfer
from unblur.kernel_grid import KernelGrid
from unblur.operators.resample import fit_kernel, resample_kernel, resize
from unblur.testing.case import CLOCK, Case

Value = Callable[[Generator | None], Tensor]


def _image(case: Case, seed: int = 0, frames: int = 1, channels: int = 1, size: float = 1.0) -> tuple[Any, Value]:
    prior, batch = case.instance(), case.batch(frames, channels)
    shape = case.latent_shape
    if size != 1:
        batch = Batch(resize(batch.observed, _part(case.observed_shape, size)), batch.frames)
        shape = tuple(n + k - 1 for n, k in zip(batch.observed.shape[2:], case.kernel_shape, strict=True))
    prior.init((frames, channels, *shape), batch, dataclasses.replace(case.context(seed), scale=size))
    return prior, lambda rng: _latent(prior, batch, rng)


def _latent(prior: Any, batch: Batch, rng: Generator | None) -> Tensor:
    return prior.draw(batch, CLOCK, rng).latent  # type: ignore[no-any-return]


def _kernel(case: Case, seed: int = 0, count: int | None = None, size: float = 1.0) -> tuple[Any, Value]:
    prior = case.instance()
    spec = _spec(case, count)
    if size != 1:
        spec = dataclasses.replace(spec, shape=tuple(n | 1 for n in _part(spec.shape, size)), scale=size)
    context = dataclasses.replace(case.context(seed), scale=size)
    if size != 1 and context.psf is not None:
        whole = tuple(n | 1 for n in _part(case.kernel_shape, size))
        context.psf = resample_kernel(context.psf, size, whole)
    prior.init(spec, context)
    shape = (3, 1, *spec.shape) if "flow" in case.traits else (1, 1, *case.latent_shape)
    latent = case.smooth(shape, seed=4)
    return prior, lambda rng: prior.kernel(latent, CLOCK, rng)


def _spec(case: Case, count: int | None = None) -> KernelSpec:
    if "flow" in case.traits:
        return KernelSpec(case.observed_shape, 4, "flow")
    count = count or (4 if "grid" in case.traits else 1)
    if count == 1:
        return KernelSpec(case.kernel_shape)
    layout = KernelGrid((1,) * (case.dims - 1) + (count,))
    return KernelSpec(case.kernel_shape, count, "grid", layout=layout, image=case.observed_shape)


def _part(shape: Shape, size: float) -> Shape:
    return tuple(round(n * size) for n in shape)


def _made(case: Case, seed: int = 0, size: float = 1.0) -> tuple[Any, Value]:
    """The prior set up, and its outcome; `size`: of its grid, relative to the case's."""
    kind = _image if case.registered.slot == "image_prior" else _kernel
    return kind(case, seed, size=size)


def _disturb(case: Case, prior: Any, seed: int = 11) -> None:
    """Move the parameters as a few steps of an estimator would."""
    with torch.no_grad():
        for index, parameter in enumerate(prior.parameters()):
            parameter.add_(0.05 * case.noise(parameter.shape, seed + index))


def image_shape(case: Case) -> None:
    """the latent image has the shape it was set up for, float32, on the device, and is finite"""
    for frames, channels in ((1, 1), (2, 3)):
        prior, value = _image(case, frames=frames, channels=channels)
        wanted = (frames, channels, *case.latent_shape)
        for rng in (None, case.rng()):
            case.shaped(value(rng), wanted, "the latent image")
            case.finite(value(rng), "the latent image")
        weight = prior.draw(case.batch(frames, channels), CLOCK, case.rng()).weight
        if weight is not None:
            case.expect(bool((weight >= 0).all()), "the weight of a draw is negative somewhere")


def kernel_is_a_kernel(case: Case) -> None:
    """kernels have the shape of their spec, are non-negative, and each sums to one, before and after steps; a flow has
    only the shape"""
    prior, value = _kernel(case)
    spec = _spec(case)
    for rng in (None, case.rng()):
        for what in ("the kernel", "the kernel after its parameters moved"):
            kernel = value(rng).detach()
            case.shaped(kernel, (spec.count, *spec.shape), what)
            case.finite(kernel, what)
            _disturb(case, prior)
            if spec.kind == "flow":
                continue
            case.expect(float(kernel.min()) >= 0, f"{what} has the negative weight {float(kernel.min()):.3g}")
            sums = kernel.flatten(1).sum(1)
            error = float((sums - 1).abs().max())
            case.expect(error < 1e-4, f"{what} sums to {[round(s, 5) for s in sums.tolist()]}; expected 1")


def same_seed_same_bits(case: Case) -> None:
    """two priors set up and drawn with the same seeds give the same bits, whatever the global random state"""
    _, first = _made(case)
    with torch.random.fork_rng(devices=[]):
        torch.rand(7)
        _, second = _made(case)
        values = [second(None), second(case.rng(3))]
    case.same(values[0], first(None), "without rng")
    case.same(values[1], first(case.rng(3)), "with rng")


def quiet_without_rng(case: Case) -> None:
    """with `rng=None` and without gradients the outcome is the same each time, and a look changes no state"""
    prior, value = _made(case)
    _disturb(case, prior)
    state = _copy(prior.state_dict())
    with torch.no_grad():
        first = value(None).clone()
        case.same(value(None), first, "second outcome")
    case.same(prior.state_dict(), state, "state after two outcomes")


def random_is_declared(case: Case) -> None:
    """a prior without the trait `random` gives the same with and without a generator"""
    if "random" in case.traits:
        return
    prior, value = _made(case)
    _disturb(case, prior)
    case.same(value(case.rng(3)), value(None), "with a generator")


def state_round_trip(case: Case) -> None:
    """a fresh prior with the state of another gives the same draws"""
    prior, value = _made(case, seed=0)
    _disturb(case, prior)
    value(case.rng(5))
    other, again = _made(case, seed=1)
    state = case.kept(prior.state_dict(), "the state")
    other.load_state_dict(_copy(state))
    case.same(other.state_dict(), state, "state after loading")
    case.same(again(None), value(None), "outcome after loading")
    case.same(again(case.rng(6)), value(case.rng(6)), "draw after loading")
    leaves = {id(parameter) for parameter in other.parameters()}
    other.load_state_dict(_copy(state))
    case.expect(leaves == {id(p) for p in other.parameters()}, "loading replaced parameters; copy into them in place")


def _copy(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: _copy(value) for key, value in state.items()}
    return type(state)(_copy(value) for value in state) if isinstance(state, list | tuple) else state


def start_from_comes_nearer(case: Case) -> None:
    """after `start_from` the outcome is finite, and nearer to what the earlier stage found, or near it; from a stage at
    a lower resolution too"""
    for size in (1.0, 0.6):
        earlier, found = _made(case, seed=0, size=size)
        _disturb(case, earlier)
        later, value = _made(case, seed=1)
        start, transfer = found(None).detach(), Transfer(lambda tensor: tensor, lambda tensor: tensor)
        if size != 1:
            transfer = Transfer(
                _onto(case.latent_shape), _onto(_spec(case).shape, normalised="flow" not in case.traits)
            )
        wanted = (transfer.latent if case.registered.slot == "image_prior" else transfer.kernel)(start)
        before = float((value(None).detach() - wanted).norm())
        with torch.no_grad():
            later.start_from(earlier, wanted, transfer)
        outcome = value(None).detach()
        at = "" if size == 1 else f", the earlier stage at {size:g} of the resolution"
        case.shaped(outcome, wanted.shape, f"the outcome{at}")
        case.finite(outcome, f"the outcome{at}")
        after, norm = float((outcome - wanted).norm()), float(wanted.norm())
        near = after <= max(before + 1e-4 * norm, 0.25 * norm)
        case.expect(near, f"its distance was {before:.3g} before and is {after:.3g} after, its norm {norm:.3g}{at}")


def _onto(shape: Shape, normalised: bool = False) -> Callable[[Tensor], Tensor]:
    """Brings what lives on a smaller grid (…, *spatial) to this one; kernels keep a sum of one."""

    def brought(tensor: Tensor) -> Tensor:
        lead = tensor.shape[: tensor.ndim - len(shape)]
        larger = resize(tensor.reshape(-1, 1, *tensor.shape[tensor.ndim - len(shape) :]), shape, "linear")
        if normalised:
            larger = larger / larger.flatten(1).sum(1).clamp_min(1e-12).view(-1, 1, *(1,) * len(shape))
        return larger.reshape(*lead, *shape)

    return brought


def gradient_reaches_parameters(case: Case) -> None:
    """a prior with the trait `learns` has leaf parameters, and a finite gradient reaches each; one without has none"""
    prior, value = _made(case)
    parameters = list(prior.parameters())
    if "learns" not in case.traits:
        case.expect(not parameters, f"it has {len(parameters)} parameters, and the trait `learns` is missing")
        return
    case.expect(bool(parameters), "it has no parameters")
    case.expect(len({id(p) for p in parameters}) == len(parameters), "a parameter is listed twice")
    for index, parameter in enumerate(parameters):
        fine = parameter.is_leaf and parameter.requires_grad
        case.expect(fine, f"parameter {index} is no leaf tensor with requires_grad")
    outcome = value(case.rng())
    gradients = torch.autograd.grad((outcome * case.noise(outcome.shape, 2)).sum(), parameters, allow_unused=True)
    for index, gradient in enumerate(gradients):
        case.expect(gradient is not None, f"no gradient reaches parameter {index} of {len(parameters)}")
        assert gradient is not None
        case.finite(gradient, f"the gradient of parameter {index}")
    moved = any(bool(gradient.any()) for gradient in gradients if gradient is not None)
    case.expect(moved, "all gradients are zero")


def pixels_are_the_parameter(case: Case) -> None:
    """with the trait `pixels`, the one parameter is the latent image or kernel itself"""
    if "pixels" not in case.traits:
        return
    prior, value = _made(case)
    outcome = value(None)
    parameters = list(prior.parameters())
    case.expect(len(parameters) == 1, f"it has {len(parameters)} parameters")
    case.close(parameters[0], outcome, "parameter and outcome", 1e-5)


def weights_are_linear(case: Case) -> None:
    """with the trait `weights`, the kernels are the sum-one `expand` of the parameter, and `gather` is its adjoint"""
    if "weights" not in case.traits:
        return
    prior, value = _made(case)
    (weights,) = prior.parameters()
    kernels = prior.expand(weights.detach())
    sums = kernels.flatten(1).sum(1).view(-1, *(1,) * (kernels.ndim - 1))
    case.close(kernels / sums, value(None).detach(), "expanded weights and kernels", 1e-5)
    one, other = case.noise(weights.shape, 1), case.noise(kernels.shape, 2)
    there, back = float((prior.expand(one) * other).sum()), float((one * prior.gather(other)).sum())
    size = float(one.norm() * other.norm())
    case.expect(abs(there - back) <= 1e-5 * size, f"<expand(w), k> = {there:.6g}, and <w, gather(k)> = {back:.6g}")


_WIDE = {2: (17, 21), 3: (9, 13, 9)}
"""Of kernels whose shape at a lower resolution is to be told from that at the full one."""


def resolution_is_followed(case: Case) -> None:
    """a single kernel that is not learned is, at half the resolution, the one at the full resolution made smaller"""
    if "learns" in case.traits or "single" not in case.traits:
        return
    full, half = _WIDE[case.dims], tuple(math.ceil(size / 2) | 1 for size in _WIDE[case.dims])
    psf = case.kernels(1, full, seed=5)
    found = []
    for scale, shape in ((1.0, full), (0.5, half)):
        given = psf if scale == 1 else resample_kernel(psf, scale, shape)
        prior = case.instance()
        prior.init(KernelSpec(shape, scale=scale), dataclasses.replace(case.context(), psf=given, scale=scale))
        found.append(prior.kernel(case.smooth((1, 1, *case.latent_shape), 4), CLOCK, None))
    wanted, ignored = resample_kernel(found[0], 0.5, half), fit_kernel(found[0], half)
    difference, other = (float((found[1] - kernel).abs().sum()) for kernel in (wanted, ignored))
    said = f"at half the resolution it differs by {difference:.2g} from it made smaller, by {other:.2g} from it cut"
    case.expect(difference <= max(0.1, other), said)


def fixed_is_fixed(case: Case) -> None:
    """a prior with the trait `fixed` has no parameters"""
    if "fixed" in case.traits:
        prior, _ = _made(case)
        case.expect(not prior.parameters(), f"it has {len(prior.parameters())}")


_SHARED = (
    same_seed_same_bits,
    quiet_without_rng,
    random_is_declared,
    state_round_trip,
    start_from_comes_nearer,
    gradient_reaches_parameters,
    pixels_are_the_parameter,
)
IMAGE_RULES = (image_shape, *_SHARED)
KERNEL_RULES = (kernel_is_a_kernel, *_SHARED, weights_are_linear, resolution_is_followed, fixed_is_fixed)
