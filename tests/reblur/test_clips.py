"""Generated clips: blur is the mean over the exposure, flow leads from frame to frame, seeds decide everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unblur_reblur.clips import Layer, Path, make_clip, random_path, record
from unblur_reblur.pool import Pool, movements, pairs
from unblur_reblur.scenes import scene

SIZE = 48
MARGIN = 24
MOMENTS = (np.arange(13) + 0.5) / 13 * 2 - 1


def picture(seed: int = 0) -> Tensor:
    """A smooth random picture (3, side, side) from 0 to 1."""
    side = SIZE + 2 * MARGIN
    coarse = torch.rand((1, 3, side // 8, side // 8), generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)[0]


def straight(u: float, v: float) -> Path:
    """A path of constant velocity."""
    none = np.zeros((2, 2))
    return Path(np.array([u, v]), np.zeros(2), none, none, none, 0.0, 0.0, np.zeros(2))


def disc() -> Tensor:
    side = SIZE + 2 * MARGIN
    axis = torch.arange(side) - side / 2
    return (axis[:, None] ** 2 + axis**2 < 100).float()[None]


def layers() -> list[Layer]:
    cover = disc()
    return [
        Layer(picture(), None, straight(5, -3), MARGIN),
        Layer(picture(1) * cover, cover, straight(-6, 2), MARGIN),
    ]


def inside(images: Tensor, border: int = 12) -> Tensor:
    return images[..., border:-border, border:-border]


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_a_blurred_frame_is_the_mean_of_the_sharp_ones_of_its_exposure(gamma: float) -> None:
    clip = record(layers(), 0.4, gamma, SIZE, None)
    for number, time in enumerate((-1, 0, 1)):
        during = record(layers(), 0.4, gamma, SIZE, None, times=time + 0.4 * MOMENTS).sharp
        wanted = during.clamp_min(0).pow(gamma).mean(0).pow(1 / gamma)
        torch.testing.assert_close(clip.blurred[number], wanted)
        torch.testing.assert_close(clip.sharp[number], during[6])


def test_the_flow_leads_from_the_neighbours_to_the_middle() -> None:
    rng = np.random.default_rng(3)
    ground = Layer(picture(), None, random_path(rng, SIZE, 0.5), MARGIN)
    clip = record([ground], 0.5, 1.0, SIZE, None)
    for neighbour, flow in zip((clip.sharp[0], clip.sharp[2]), clip.flow, strict=True):
        axis = torch.arange(SIZE, dtype=torch.float32)
        at = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1) - flow.permute(1, 2, 0)
        found = F.grid_sample(neighbour[None], at[None] * 2 / (SIZE - 1) - 1, align_corners=True)[0]
        seen = ((at > 0) & (at < SIZE - 1)).all(-1)
        assert float(seen.float().mean()) > 0.2
        assert float((found - clip.sharp[1])[:, seen].abs().max()) < 0.04


def test_objects_have_a_flow_of_their_own() -> None:
    flow = record(layers(), 0.5, 1.0, SIZE, None).flow
    torch.testing.assert_close(flow[:, :, 0, 0], torch.tensor([[5.0, -3.0], [-5.0, 3.0]]))
    torch.testing.assert_close(flow[:, :, SIZE // 2, SIZE // 2], torch.tensor([[-6.0, 2.0], [6.0, -2.0]]))


def test_a_clip_follows_from_its_seed() -> None:
    one, same, other = make_clip(1, SIZE), make_clip(1, SIZE), make_clip(2, SIZE)
    for name in ("blurred", "sharp", "flow", "tau"):
        first, second = getattr(one, name), getattr(same, name)
        assert first == second if name == "tau" else torch.equal(first, second)
    assert not torch.equal(one.blurred, other.blurred)


def test_what_a_camera_gives() -> None:
    for seed in range(4):
        clip = make_clip(seed, SIZE)
        assert clip.blurred.shape == clip.sharp.shape == (3, 3, SIZE, SIZE)
        assert clip.flow.shape == (2, 2, SIZE, SIZE)
        assert 0 <= float(clip.blurred.min()) < float(clip.blurred.max()) <= 1
        torch.testing.assert_close((clip.blurred * 255).round() / 255, clip.blurred)
        assert 0.2 <= clip.tau <= 0.5
        assert float(clip.sharp.std()) > float(clip.blurred.std()) - 0.02


def test_scenes_of_all_kinds_are_sharp_pictures() -> None:
    for seed in range(12):
        image = scene(np.random.default_rng(seed), SIZE)
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.float32
        assert image.min() >= 0
        assert image.max() <= 1


def test_a_pool_is_its_seed_and_how_many_were_drawn() -> None:
    whole, again = Pool(7, 3, 32), Pool(7, 3, 32)
    for drawn in (2, 5):
        whole.grow(drawn)
    again.restore(whole.drawn, whole.digest)
    assert again.drawn == 5
    assert again.count == whole.count == 3
    for name in ("blurred", "sharp", "flow", "digest"):
        first, second = getattr(whole, name), getattr(again, name)
        assert first == second if name == "digest" else torch.equal(first, second)
    again.grow(6)
    assert again.digest != whole.digest


def test_patches_that_are_turned_keep_pairs_and_flow_together() -> None:
    """Every pair's blur stays its own, and every flow still leads from the first frame to the second."""
    pool = Pool(0, 1, SIZE)
    clip = record([Layer(picture(), None, straight(4, -2), MARGIN)], 0.25, 1.0, SIZE, None)
    pool.blurred[0], pool.sharp[0], pool.flow[0] = (clip.blurred * 255), (clip.sharp * 255), clip.flow
    pool.drawn = 1
    rng = torch.Generator().manual_seed(0)
    blurred, sharp = pairs(pool, 16, 32, rng)
    assert blurred.shape == (16, 3, 32, 32)
    assert float((blurred - sharp).abs().mean()) < 0.5 * float((blurred - sharp.roll(1, 0)).abs().mean())
    first, second, flow = movements(pool, 16, 40, rng)
    axis = torch.arange(40, dtype=torch.float32)
    at = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1) + flow.permute(0, 2, 3, 1)
    warped = F.grid_sample(second, at * 2 / 39 - 1, align_corners=True)
    assert float(inside(warped - first).abs().mean()) < 0.01
    assert math.isclose(float(flow.norm(dim=1).mean()), math.hypot(4, 2), rel_tol=1e-3)
    assert len({tuple(one.tolist()) for one in flow[:, :, 0, 0]}) > 4
