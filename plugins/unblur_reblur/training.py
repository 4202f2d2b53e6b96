"""Training from scratch on generated clips: `unblur train reblur2deblur`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unblur.compute import Compute, seed_of
from unblur.driver import CancelToken
from unblur.errors import CheckpointError, FileError
from unblur.io import atomic_path
from unblur.params import validate
from unblur.report import own_version
from unblur.training import Trainer, TrainingEvent, commit_of
from unblur_reblur import weights
from unblur_reblur.deblurgan import DeblurGan
from unblur_reblur.dvd import Dvd
from unblur_reblur.flownet import FlowNetS
from unblur_reblur.layers import padded
from unblur_reblur.photographs import hashes
from unblur_reblur.pool import Pool, movements, pairs
from unblur_reblur.training_params import TrainingParams

CHECKPOINT = "checkpoint.pt"
SAVE_SECONDS = 60.0

FIRST = 100
"""Losses that go into a file's header, so that a repetition can be compared."""

_LEVELS = (0.32, 0.32, 0.32, 0.64, 1.28)
"""Weights of the mean errors of FlowNetS's levels, from 1/64 to 1/4 of the resolution: 0.32, 0.08, 0.02, 0.01 and 0.005
for sums over a level's pixels (Dosovitskiy et al. 2015), of which each level has four times as many as the one before.
"""

_NUMBERS = {"flownet": 0, "dvd": 1, "deblurgan": 2}
"""So that each network is trained alike, whether with others or alone."""

Loss = Callable[[nn.Module, Pool, torch.Generator], Tensor]


@dataclass
class _State:
    """What a checkpoint holds besides the network and its optimiser."""

    stage: int = 0
    step: int = 0
    elapsed: float = 0.0
    losses: list[float] = field(default_factory=list)
    drawn: int = 0
    digest: str = ""
    written: list[str] = field(default_factory=list)


class ReblurTrainer(Trainer[TrainingParams]):
    """Trains the flow network and the deblurring networks, one after the other, each on clips of its own.

    The deblurring networks minimise the mean squared error (eq. 2), the flow network the end-point errors of all of its
    levels. Adam, with a rate that falls along half a cosine. New clips take the place of old ones all the time.
    """

    def events(
        self, folder: Path, *, seed: int, compute: Compute, command: str, resume: bool, cancel: CancelToken
    ) -> Generator[TrainingEvent, None, list[Path]]:
        self.folder, self.seed, self.compute, self.command = folder, seed, compute, command
        self.state, self.began, self.saved = _State(), time.perf_counter(), time.perf_counter()
        stored = self._load() if resume else None
        if stored is None and not resume and (folder / CHECKPOINT).exists():
            raise CheckpointError(
                f"{folder / CHECKPOINT}: of a training that was interrupted. --resume goes on from it; delete it to "
                "start anew"
            )
        names = self.params.networks
        with compute.running():
            for number in range(self.state.stage, len(names)):
                if self.state.stage != number:
                    self.state = _State(number, elapsed=self.state.elapsed, written=self.state.written)
                yield from self._train(names[number], stored, cancel)
                stored = None
                if cancel.reason is not None:
                    break
        if cancel.reason is None:
            (folder / CHECKPOINT).unlink(missing_ok=True)
        return [folder / name for name in self.state.written]

    def _train(
        self, name: str, stored: Mapping[str, Any] | None, cancel: CancelToken
    ) -> Generator[TrainingEvent, None, None]:
        params, state = self.params, self.state
        planned = params.steps_of(name)
        network, facts, loss = self._network(name)
        network = self.compute.place(network).train()
        optimiser = torch.optim.Adam(network.parameters(), lr=params.rate, fused=True)
        rng = torch.Generator().manual_seed(seed_of(self.seed, (2, _NUMBERS[name])))
        if stored is not None:
            network.load_state_dict(stored["network"])
            optimiser.load_state_dict(stored["optimiser"])
            rng.set_state(stored["rng"])
        pool = Pool(seed_of(self.seed, (3, _NUMBERS[name])), params.clips, params.size)
        pool.restore(state.drawn, state.digest)
        start = time.perf_counter()
        for done in itertools.count(1):
            if state.step >= planned:
                break
            pool.grow(params.first_clips + state.step // params.renew_of(name))
            state.drawn, state.digest = pool.drawn, pool.digest
            for group in optimiser.param_groups:
                group["lr"] = params.rate * 0.5 * (1 + math.cos(math.pi * state.step / planned))
            with self.compute.autocast():
                value = loss(network, pool, rng)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), params.clip)
            optimiser.step()
            state.step += 1
            pace = (time.perf_counter() - start) / done
            state.losses.append(float(value.detach()))
            yield self._event(name, planned, sum(state.losses[-50:]) / len(state.losses[-50:]), pace)
            if cancel.reason is not None or time.perf_counter() - self.saved > SAVE_SECONDS:
                self._save(network, optimiser, rng)
            if cancel.reason is not None:
                return
        self._write(name, network, facts)

    def _network(self, name: str) -> tuple[nn.Module, dict[str, str], Loss]:
        """A network with random weights, the facts that identify it, and its loss for one batch."""
        params = self.params
        rng = torch.Generator().manual_seed(seed_of(self.seed, (1, _NUMBERS[name])))
        if name == "flownet":
            return FlowNetS(rng, params.flow_width), {"width": str(params.flow_width)}, self._flow_loss
        facts = {"width": str(params.width), "norm": params.norm}
        if name == "dvd":
            return Dvd(rng, params.width, params.norm), facts, self._deblurring_loss
        facts["blocks"] = str(params.blocks)
        return DeblurGan(rng, params.width, params.norm, params.blocks), facts, self._deblurring_loss

    def _deblurring_loss(self, network: nn.Module, pool: Pool, rng: torch.Generator) -> Tensor:
        blurred, sharp = pairs(pool, self.params.batch, self.params.patch, rng)
        found: Tensor = network(self.compute.lay(blurred))
        return F.mse_loss(found.float(), sharp.to(found.device))

    def _flow_loss(self, network: nn.Module, pool: Pool, rng: torch.Generator) -> Tensor:
        assert isinstance(network, FlowNetS)
        first, second, flow = movements(pool, self.params.flow_batch, self.params.flow_patch, rng)
        flow = padded(flow.to(self.compute.device), network.stride)  # as the network pads its input
        levels = network.levels(self.compute.lay(first), self.compute.lay(second))[:-1]
        errors = [
            weight * (found - F.adaptive_avg_pool2d(flow, found.shape[-2:])).norm(dim=1).mean()
            for weight, found in zip(_LEVELS, levels, strict=True)
        ]
        return torch.stack(errors).sum() / sum(_LEVELS)

    def _write(self, name: str, network: nn.Module, facts: Mapping[str, str]) -> None:
        path = self.folder / f"{name}-{facts['width']}.safetensors"
        about = {
            "network": name,
            **facts,
            "command": self.command,
            "commit": commit_of(Path(__file__).parent),
            "seed": str(self.seed),
            "parameters": json.dumps(dataclasses.asdict(self.params)),
            "steps": str(self.params.steps_of(name)),
            "photographs": json.dumps(dict(hashes()), sort_keys=True),
            "clips": f"{self.state.drawn}, SHA-256 {self.state.digest}",
            "first_losses": json.dumps(self.state.losses[:FIRST]),
            "last_loss": repr(sum(self.state.losses[-FIRST:]) / len(self.state.losses[-FIRST:])),
            "unblur": own_version(),
            **{key: str(value) for key, value in self.compute.describe().items()},
        }
        weights.save(path, network, about, half=self.params.half)
        if path.name not in self.state.written:
            self.state.written.append(path.name)

    def _event(self, name: str, planned: int, loss: float, pace: float) -> TrainingEvent:
        left = pace * (planned - self.state.step)
        last = self.state.stage + 1 == len(self.params.networks)
        return TrainingEvent(name, self.state.step, planned, loss, self._elapsed(), left if last else None)

    def _elapsed(self) -> float:
        return self.state.elapsed + time.perf_counter() - self.began

    def _save(self, network: nn.Module, optimiser: torch.optim.Optimizer, rng: torch.Generator) -> None:
        self.saved = time.perf_counter()
        content = {
            "made_with": self._identity(),
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rng": rng.get_state(),
            "state": {**vars(self.state), "elapsed": self._elapsed()},
        }
        with atomic_path(self.folder / CHECKPOINT) as temporary:
            torch.save(content, temporary)

    def _load(self) -> Mapping[str, Any] | None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return None
        try:
            content: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            made_with, state = content["made_with"], _State(**content["state"])
        except Exception as error:  # a damaged file raises nearly anything
            raise CheckpointError(f"{path}: not a readable checkpoint ({error}). Delete it to start anew") from error
        if made_with != self._identity():
            raise CheckpointError(f"{path}: made with another command. Start without --resume to begin anew")
        self.state = state
        return content

    def _identity(self) -> str:
        return f"{self.command} {self.params!r}"


def repeated(path: Path, count: int = FIRST) -> tuple[list[float], list[float]]:
    """The first losses that a file of weights names, and those of the same training begun anew on this machine.

    Raises:
        FileError: no file of weights that a `ReblurTrainer` wrote.
    """
    facts = weights.header(path)
    try:
        settings = json.loads(facts["parameters"]) | {"networks": [facts["network"]]}
        named = json.loads(facts["first_losses"])[:count]
        seed, precision, threads = int(facts["seed"]), facts["precision"], int(facts["threads"])
    except (KeyError, ValueError) as error:
        raise FileError(path, f"does not say how it was trained ({error!r})") from error
    trainer = ReblurTrainer(validate(TrainingParams, settings, "reblur2deblur"))
    compute, token = Compute.choose("cpu", precision, threads), CancelToken()  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        for event in trainer.events(Path(folder), seed=seed, compute=compute, command="", resume=False, cancel=token):
            if event.step == len(named):
                token.cancel("as many as are named")
    return named, trainer.state.losses
