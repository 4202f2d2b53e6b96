"""Weights of networks in safetensors files, whose header says what they are and how they were made."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unblur.components import Context
from unblur.errors import FileError
from unblur.io import atomic_path
from unblur_reblur.shipped import AUTO, NONE, shipped


def header(path: Path) -> dict[str, str]:
    """What a file says about itself.

    Raises:
        FileError: no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise FileError(path, f"cannot be read as safetensors: {error}") from error


def save(path: Path, network: nn.Module, facts: Mapping[str, str], half: bool = False) -> None:
    """Write a network's weights with facts about them, atomically.

    Args:
        half: store floating point in 16 bits, which halves the file and changes no result that matters.
    """
    kind = torch.float16 if half else torch.float32
    tensors = {
        name: (value.to(kind) if value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=dict(facts))


def load(path: Path, network: nn.Module) -> dict[str, str]:
    """Read weights into a network, and what the file says about itself.

    Raises:
        FileError: no safetensors file, or weights of another network.
    """
    facts = header(path)
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dictionary)
    wanted = network.state_dict()
    different = sorted(
        name
        for name in wanted.keys() | found.keys()
        if name not in found or name not in wanted or found[name].shape != wanted[name].shape
    )
    if different:
        first = different[0]
        shapes = [tuple(where[first].shape) if first in where else "none" for where in (found, wanted)]
        made = ", ".join(f"{key} {facts[key]}" for key in ("network", "width", "norm", "blocks") if key in facts)
        raise FileError(
            path,
            f"holds other weights{f' ({made})' if made else ''}: {first} has shape {shapes[0]}, expected {shapes[1]}",
            "Set the width, norm and blocks that they were made with",
        )
    network.load_state_dict(found)
    return facts


@dataclass(frozen=True)
class Wanted:
    """Which weights a part needs.

    Args:
        slot: of the part.
        network: its name in `TrainingParams.networks`.
        width: of the network.
        settings: parameters of the trainer that make this network.
    """

    slot: str
    network: str
    width: int
    settings: Mapping[str, object]

    @property
    def name(self) -> str:
        """Of their file, without its suffix."""
        return f"{self.network}-{self.width}"

    def command(self) -> str:
        """What trains exactly these, for a shell."""
        settings = {"networks": json.dumps([self.network]), **self.settings}
        chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        return shlex.join(["unblur", "train", "reblur2deblur", *chosen, "-o", "weights"])


def fill(network: nn.Module, weights: str, wanted: Wanted, context: Context) -> None:
    """Weights as a component's parameter `weights` asks for, with a note for the report.

    Raises:
        FileError: a file that cannot be read or does not fit, or a network that no weights come with.
    """
    name = wanted.name
    if weights == NONE:
        context.note(f"{name}: no trained weights, the network begins with random ones")
        return
    path = shipped(name) if weights == AUTO else Path(weights)
    if weights == AUTO and not path.exists():
        others = ", ".join(sorted(file.stem for file in path.parent.glob("*.safetensors"))) or "none"
        raise FileError(
            path.name,
            f"no weights come with the package for {name}; those that do: {others}",
            f"Train them: `{wanted.command()}`, and give the file: "
            f"`--set {wanted.slot}.weights=weights/{path.name}`; or set it to none for random ones",
        )
    facts = load(path, network)
    made = f", made by `{facts['command']}` at {facts.get('commit', 'an unknown commit')}" if "command" in facts else ""
    context.note(f"{name}: weights of {path.name if weights == AUTO else path}{made}")
