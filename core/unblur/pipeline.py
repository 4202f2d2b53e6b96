"""A pipeline: which part fills which slot, in which stages. Pure data, to and from TOML."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unblur.errors import FileError, ParameterError, UnblurError
from unblur.records import SLOTS, Slot
from unblur.registry import Registry, default_registry


@dataclass(frozen=True)
class Part:
    """A component by name, with the parameters that differ from its defaults."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


LEAST_SIDE = 3
"""Pixels along each axis at the lowest resolution of a run."""


@dataclass(frozen=True)
class Stage:
    """The only structural change in a run.

    Args:
        steps: planned steps; a budget in seconds may reduce them.
        scale: resolution relative to the image's, in (0, 1].
        support: ``"shrink"`` cuts the kernel of the stage before to what carries weight.
        frames: indices of the frames used; all if None.
        crop: (start, stop) per spatial axis of the region used; all if None.
        set: parameters that differ in this stage, by ``slot.part.parameter``.
    """

    steps: int
    scale: float = 1.0
    support: Literal["keep", "shrink"] = "keep"
    frames: tuple[int, ...] | None = None
    crop: tuple[tuple[int, int], ...] | None = None
    set: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, sizes: Sequence[int]) -> bool:
        """Whether its resolution leaves `LEAST_SIDE` pixels of an image of these sizes, along every axis."""
        seen = sizes if self.crop is None else [stop - start for start, stop in self.crop]
        return round(min(seen) * self.scale) >= LEAST_SIDE

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and not isinstance(self.steps, bool) and self.steps >= 1):
            raise ParameterError(f"stage.steps = {self.steps!r}: expected a whole number, at least 1")
        if not (isinstance(self.scale, int | float) and not isinstance(self.scale, bool) and 0 < self.scale <= 1):
            raise ParameterError(f"stage.scale = {self.scale!r}: expected a number in (0, 1]")
        if self.support not in ("keep", "shrink"):
            raise ParameterError(f"stage.support = {self.support!r}: expected keep or shrink")
        if self.frames is not None and not (_indices(self.frames) and len(set(self.frames)) == len(self.frames) > 0):
            raise ParameterError(f"stage.frames = {self.frames!r}: expected different frame numbers, from 0")
        if self.crop is not None and not (
            isinstance(self.crop, tuple)
            and all(_indices(span) and len(span) == 2 and span[0] < span[1] for span in self.crop)
        ):
            raise ParameterError(f"stage.crop = {self.crop!r}: expected (start, stop) for every spatial axis")
        if not isinstance(self.set, Mapping):
            raise ParameterError(f"stage.set = {self.set!r}: expected a table of parameters by their address")
        for address, value in self.set.items():
            slot, _, parameter = str(address).partition(".")
            if slot not in SLOTS or not parameter or value is None:
                raise ParameterError(f"stage.set: {address} = {value!r}; expected slot.part.parameter and its value")


def _indices(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)


PartLike = str | tuple[str, Mapping[str, Any]] | Part
SlotLike = PartLike | Sequence[PartLike]


def _part(value: Any) -> Part:
    if isinstance(value, Part):
        return value
    if isinstance(value, str):
        return Part(value)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Mapping):
        return Part(value[0], dict(value[1]))
    raise ParameterError(f"{value!r} is no part; expected a name or (name, {{parameter: value}})")


def _parts(value: Any) -> tuple[Part, ...]:
    if isinstance(value, str | Part) or (
        isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping)
    ):
        return (_part(value),)
    if not isinstance(value, Sequence):
        raise ParameterError(f"{value!r} fills no slot; expected a part or a list of parts")
    return tuple(_part(item) for item in value)


class Pipeline:
    """A composition of the five kinds of component.

    Args:
        forward_model, image_prior, kernel_prior, estimator: a part, or a list of a base part and its modifiers.
            A part is a name or ``(name, {parameter: value})``.
        stopping: any number of stopping rules and one selector (``last`` where none is named).
        stages: what happens one after the other; the last one should have scale 1.
        then: another pipeline that receives the kernel, such as a non-blind method after a blind one.
        first: another pipeline whose kernel this one begins with. It runs before, and has no `first` itself.

    Building one checks nothing but its form; `check` and `resolve` hold it against the registered components.
    """

    def __init__(
        self,
        forward_model: SlotLike,
        image_prior: SlotLike,
        kernel_prior: SlotLike,
        estimator: SlotLike,
        stopping: SlotLike = (),
        stages: Iterable[Stage] = (Stage(steps=100),),
        then: Pipeline | None = None,
        first: Pipeline | None = None,
    ) -> None:
        self.slots: dict[Slot, tuple[Part, ...]] = {
            "forward_model": _parts(forward_model),
            "image_prior": _parts(image_prior),
            "kernel_prior": _parts(kernel_prior),
            "estimator": _parts(estimator),
            "stopping": _parts(stopping),
        }
        self.stages = tuple(stages)
        self.then, self.first = then, first
        if not self.stages:
            raise ParameterError("a pipeline needs at least one stage")
        for stage in self.stages:
            if not isinstance(stage, Stage):
                raise ParameterError(f"stages: {stage!r} is no Stage")
        if any(one.first is not None for after in (first, then) if after is not None for one in after.segments()):
            raise ParameterError("only the pipeline itself has a `first`, not what runs before or after it")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        slots = ", ".join(f"{slot}={[part.name for part in parts]}" for slot, parts in self.slots.items())
        more = "".join(f", {name}={one!r}" for name, one in (("then", self.then), ("first", self.first)) if one)
        return f"Pipeline({slots}, stages={len(self.stages)}{more})"

    def segments(self) -> Iterator[Pipeline]:
        """What runs one after the other: `first`, this pipeline, and those that follow it through `then`."""
        return (segment for _, segment in self.addressed())

    def addressed(self) -> Iterator[tuple[str, Pipeline]]:
        """The segments, each with what its addresses begin with: ``"first."``, nothing, ``"then."``."""
        for depth, segment in enumerate(() if self.first is None else self.first.segments()):
            yield "first." + "then." * depth, segment
        prefix = ""
        following: Pipeline | None = self
        while following is not None:
            yield prefix, following
            prefix, following = prefix + "then.", following.then

    def with_segments(self, segments: Iterable[Pipeline]) -> Pipeline:
        """A copy with other segments in the places of `segments()`, one for each."""
        mine = list(segments)
        before = 0 if self.first is None else sum(1 for _ in self.first.segments())
        return _chain(mine[before:]).replace(first=_chain(mine[:before]) if before else None)

    def chained(self) -> Pipeline:
        """The same without `first`: what runs first, and through `then` what follows."""
        return _chain([segment.replace(first=None) for segment in self.segments()])

    def replace(self, **changes: Any) -> Pipeline:
        """A copy with other slots, `stages`, `then` or `first`."""
        slots: dict[str, Any] = {str(slot): parts for slot, parts in self.slots.items()}
        values = {**slots, "stages": self.stages, "then": self.then, "first": self.first, **changes}
        return Pipeline(**values)

    def with_steps(self, steps: Sequence[int]) -> Pipeline:
        """A copy that runs exactly these steps, one number for each stage of each segment (a plan)."""
        counts = list(steps)
        wanted = sum(len(segment.stages) for segment in self.segments())
        if len(counts) != wanted:
            raise ParameterError(f"a plan of {len(counts)} numbers: the pipeline has {wanted} stages")
        left = iter(counts)
        return self.with_segments(
            segment.replace(stages=[dataclasses.replace(stage, steps=next(left)) for stage in segment.stages])
            for segment in self.segments()
        )

    def set(self, settings: Mapping[str, Any]) -> Pipeline:
        """A copy with other settings.

        Args:
            settings: ``"slot.parameter"`` (of the base) or ``"slot.part.parameter"`` to a value; ``"slot"`` to a name
                or a list of names (base first) to fill the slot anew; ``"stages.N.steps"``;
                ``"then.…"`` for what follows, ``"then"`` to "none" to leave it out; ``"first.…"`` and ``"first"`` for
                what runs before.

        A stage that sets the same parameter keeps its own value; `set_throughout` changes it there as well.

        Raises:
            ParameterError: the address names nothing in this pipeline.
        """
        pipeline = self
        for address, value in settings.items():
            pipeline = pipeline._set(address, value)
        return pipeline

    def set_throughout(self, settings: Mapping[str, Any]) -> Pipeline:
        """As `set`, and no stage changes these parameters back."""
        return self._unstaged(settings).set(settings)

    def _unstaged(self, addresses: Iterable[str]) -> Pipeline:
        """A copy whose stages set none of these parameters."""
        mine = {self._parameter(address) for address in addresses}
        stages = [
            dataclasses.replace(stage, set={key: v for key, v in stage.set.items() if self._parameter(key) not in mine})
            for stage in self.stages
        ]
        others = {
            name: other._unstaged(
                [address.removeprefix(f"{name}.") for address in addresses if address.startswith(f"{name}.")]
            )
            for name in OTHERS
            if (other := getattr(self, name)) is not None
        }
        return self.replace(stages=stages, **others)

    def _parameter(self, address: str) -> tuple[str, str, str]:
        """Slot, part and parameter of an address, which may leave out the name of a base."""
        slot, _, rest = address.partition(".")
        part, _, parameter = rest.rpartition(".")
        base = next((parts[0].name for name, parts in self.slots.items() if name == slot and parts), "")
        return slot, part or base, parameter

    def _set(self, address: str, value: Any) -> Pipeline:
        slot, _, rest = address.partition(".")
        if slot in OTHERS:
            other: Pipeline | None = getattr(self, slot)
            if other is None:
                raise ParameterError(f"{address}: this pipeline has no `{slot}`")
            if not rest and value != "none":
                raise ParameterError(f"{slot} = {value!r}: none leaves it out; {slot}.slot=… changes it")
            return self.replace(**{slot: other._set(rest, value) if rest else None})
        if slot == "stages":
            return self._set_stage(address, rest, value)
        if slot not in SLOTS:
            raise ParameterError(f"{address}: no such slot; choose one of: {', '.join((*SLOTS, 'stages', *OTHERS))}")
        if address == slot:
            return self.replace(**{slot: _parts(value)})
        return self.replace(**{slot: _with_parameter(self.slots[slot], slot, rest, value)})

    def _set_stage(self, address: str, rest: str, value: Any) -> Pipeline:
        number, _, name = rest.partition(".")
        if not number.isdecimal() or int(number) >= len(self.stages) or name not in STAGE_KEYS:
            raise ParameterError(f"{address}: expected stages.N.{'|'.join(STAGE_KEYS)} with N below {len(self.stages)}")
        stages = list(self.stages)
        stages[int(number)] = dataclasses.replace(stages[int(number)], **{name: frozen(value)})
        return self.replace(stages=stages)

    def in_stage(self, stage: Stage) -> Pipeline:
        """This pipeline with the parameters that differ in one of its stages."""
        return self.set(stage.set) if stage.set else self

    def check(self, registry: Registry | None = None) -> None:
        """Hold every part, parameter and combination against the registered components (`unblur.composition`).

        Raises:
            UnknownNameError: a part is not registered.
            ParameterError: a parameter is unknown or out of bounds.
            CompositionError: two parts do not fit; the message names both and what would fit.
        """
        from unblur.composition import check  # which looks at pipelines itself

        check(self, registry or default_registry())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in TOML."""
        content: dict[str, Any] = {}
        for slot, parts in self.slots.items():
            tables = [{"name": part.name, "params": _plain(part.params)} for part in parts]
            if slot == "stopping":
                content[slot] = tables
            else:
                content[slot] = tables[0] | ({"modifiers": tables[1:]} if tables[1:] else {})
        content["stages"] = [
            {name: _plain(value) for name in STAGE_KEYS if (value := getattr(stage, name)) not in (None, {})}
            for stage in self.stages
        ]
        others = {name: getattr(self, name) for name in OTHERS}
        return content | {name: other.to_dict() for name, other in others.items() if other is not None}

    def to_toml(self) -> str:
        """The pipeline as the text of a TOML file."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Pipeline:
        """The inverse of `to_dict`.

        Raises:
            ParameterError: a key is unknown or missing, or a value has the wrong form.
        """
        from unblur.pipeline_reading import read_pipeline  # which makes pipelines itself

        return read_pipeline(content)

    @classmethod
    def from_toml(cls, path: str | Path) -> Pipeline:
        """Read a pipeline file.

        Raises:
            FileError: the file cannot be read, is no TOML, or holds what a pipeline does not have.
        """
        try:
            size = Path(path).stat().st_size
            if size > 1_000_000:
                raise FileError(path, f"{size} bytes; a pipeline file has at most a million")
            text = Path(path).read_text(encoding="utf-8")
            return cls.from_dict(tomllib.loads(text))
        except FileError:
            raise
        except UnblurError as error:
            raise FileError(path, str(error)) from error
        except (OSError, ValueError, RecursionError) as error:  # no TOML, no UTF-8, or numbers of thousands of digits
            raise FileError(path, f"no readable pipeline file: {error}") from error


def _with_parameter(parts: tuple[Part, ...], slot: str, rest: str, value: Any) -> tuple[Part, ...]:
    name, _, parameter = rest.rpartition(".")
    index = next((i for i, part in enumerate(parts) if part.name == name), None) if name else 0
    if index is None:
        raise ParameterError(f"{slot}.{rest}: no part {name!r}; the slot holds {', '.join(p.name for p in parts)}")
    if not parts:
        raise ParameterError(f"{slot}.{rest}: the slot is empty")
    if not parameter or (not name and slot == "stopping"):
        raise ParameterError(f"{slot}.{rest}: expected {slot}.PART.parameter")
    changed = Part(parts[index].name, {**parts[index].params, parameter: value})
    return (*parts[:index], changed, *parts[index + 1 :])


def frozen(value: Any, depth: int = 0) -> Any:
    """A value as a parameter holds it: with tuples in place of lists.

    Raises:
        ParameterError: it is nested deeper than any parameter.
    """
    if depth > MAX_DEPTH:
        raise ParameterError(f"a list within {MAX_DEPTH} lists; no parameter is nested that deep")
    if isinstance(value, Mapping):
        return {key: frozen(item, depth + 1) for key, item in value.items()}
    return tuple(frozen(item, depth + 1) for item in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{value} cannot stand in a pipeline")
    return value


def _chain(segments: Sequence[Pipeline]) -> Pipeline:
    """Each segment followed by the next."""
    whole: Pipeline | None = None
    for segment in reversed(segments):
        whole = segment.replace(then=whole)
    if whole is None:
        raise ParameterError("a pipeline needs at least one segment")
    return whole


OTHERS = "then", "first"
"""Pipelines that run after and before a pipeline itself."""

MAX_DEPTH = 8
"""Of lists within lists, and of pipelines one after the other."""

STAGE_KEYS = tuple(stage_field.name for stage_field in dataclasses.fields(Stage))
