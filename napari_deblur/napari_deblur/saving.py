"""Files that keep what napari's own writer loses: pixel size, units, axes and the report; and pipelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deblur import looks
from napari_deblur.facts import KEY
from napari_deblur.layers import LayerSource, read
from unblur import io
from unblur.errors import ParameterError
from unblur.pipeline import Pipeline
from unblur.registry import Registry

if TYPE_CHECKING:
    from napari.layers import Image as ImageLayer

    from unblur.results import Result

SUFFIX = ".ome.tif"
ENDINGS = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".png", ".jpg", ".jpeg")
BATCH_PATTERN = "{name}-deblurred"


def suggested_path(source: LayerSource, folder: Path | None = None) -> Path:
    """Where a result may be saved: beside the layer's file, or in `folder`, under a name that is free."""
    path = Path(source.image.source or "")
    in_file = path.is_file()
    stem = stem_of(path.name if in_file else source.name)
    place = folder or (path.parent if in_file else Path.cwd())
    number = 1
    while (found := place / f"{stem}-deblurred{'' if number == 1 else f'-{number}'}{SUFFIX}").exists():
        number += 1
    return found


def stem_of(name: str) -> str:
    """The name of a layer or file as a part of a file's name."""
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return (
        "".join("_" if letter in '<>:"/\\|?*' or ord(letter) < 32 else letter for letter in name).strip(" .") or "image"
    )


def batch_paths(names: Sequence[str], folder: Path, pattern: str = BATCH_PATTERN) -> list[Path]:
    """A file for each layer or file of a batch; the same batch gives the same names, and no two are equal.

    Args:
        pattern: ``{name}`` stands for the name of the layer or file, without its ending.

    Raises:
        ParameterError: the pattern is no name of a file.
    """
    if stem_of(pattern) != pattern or "{" in pattern.replace("{name}", ""):
        raise ParameterError(f"name {pattern!r}: expected a file's name without its ending, such as {BATCH_PATTERN}")
    found: list[Path] = []
    for name in names:
        stem = pattern.replace("{name}", stem_of(name))
        number = 1
        while (path := folder / f"{stem}{'' if number == 1 else f'-{number}'}{SUFFIX}") in found:
            number += 1
        found.append(path)
    return found


def save(
    result: Result,
    path: str | Path,
    *,
    kernel: bool = True,
    uncertainty: bool = True,
    dtype: str | None = None,
    viewed: Mapping[str, Any] | None = None,
) -> tuple[list[Path], tuple[str, ...]]:
    """Write a result with its report, and beside it the kernel and, where there is one, the uncertainty.

    Kernels that belong to different regions go into an ``.npz`` file, with the places where they hold.

    Args:
        path: ``.ome.tif`` and ``.tif`` keep pixel size and units; a name without a known ending gets ``.ome.tif``.
        dtype: float32 if left out.
        viewed: place and looks of the layers that the result became, as `looks.of_layers` gives them: they go into the
            report, and come back with it.

    Returns the files that were written, the restored one first, and notes on what was clipped or could not be kept.

    Raises:
        FileError: a file cannot be written, or is the one that was restored.
    """
    path, *_ = targets(result, path)
    if viewed:
        result = dataclasses.replace(result, report={**result.report, looks.REPORT_KEY: viewed})
    _, beside, spread = targets(result, path)
    others = {"kernel": beside if kernel else None, "uncertainty": spread if uncertainty else None}
    notes = result.save(path, kernel=others["kernel"], uncertainty=others["uncertainty"], dtype=dtype)
    return [path, *(one for one in others.values() if one is not None)], notes


def targets(result: Result, path: str | Path) -> tuple[Path, Path, Path | None]:
    """The files that `save` writes: the restored image, the kernel, and the uncertainty, if there is one."""
    path = Path(path)
    if not path.name.lower().endswith((".tif", ".tiff", ".png")):
        path = path.with_name(path.name + SUFFIX)
    stem = path.name
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    kernel = f"kernel{SUFFIX}" if result.kernel_grid is None else "kernels.npz"
    spread = None if result.uncertainty is None else path.with_name(f"{stem}.uncertainty{SUFFIX}")
    return path, path.with_name(f"{stem}.{kernel}"), spread


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an image layer as OME-TIFF with its axes, pixel size, units and, if it is a result, the report.

    For the writer in the manifest, which napari calls with the parts of a layer.

    Raises:
        UnblurError: the file cannot be written, or the layer cannot be read.
    """
    from napari.utils.notifications import show_warning

    layer = _layer_of(data, attributes)
    source = read(layer)
    if source.image.status["axes"] == "assumed" and data.ndim > 2 + layer.rgb:
        show_warning(f"{Path(path).name}: the axes {source.axes} are guessed; Set on the layer in the dock says them")
    kept = source.metadata.get(KEY, {})
    report = kept.get("report") if isinstance(kept, Mapping) else None
    viewed = {looks.REPORT_KEY: looks.of_layers([layer])}
    report = {**report, **viewed} if isinstance(report, Mapping) else None
    for note in io.write(path, source.load(), report=report):
        show_warning(f"{Path(path).name}: {note}")
    return [path]


def _layer_of(data: Any, attributes: dict[str, Any]) -> ImageLayer:
    """The layer of the viewer that these are the parts of, which knows its file; or else one of these parts."""
    import napari
    from napari.layers import Image

    viewer = napari.current_viewer()
    for layer in viewer.layers if viewer is not None else ():
        if isinstance(layer, Image) and layer.data is data and layer.name == attributes.get("name"):
            return layer
    return Image(data, **attributes)


def save_pipeline(pipeline: Pipeline, path: str | Path) -> Path:
    """Write a pipeline as TOML, whole or not at all; a name without an ending gets ``.toml``.

    Raises:
        FileError: it cannot be written.
    """
    path = pipeline_path(path)
    text = pipeline.to_toml()
    with io.atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def pipeline_path(path: str | Path) -> Path:
    """The file that `save_pipeline` writes for a name."""
    path = Path(path)
    return path if path.suffix else path.with_suffix(".toml")


def load_pipeline(path: str | Path, registry: Registry) -> Pipeline:
    """Read a pipeline from a TOML file and hold it against the components that are installed.

    Raises:
        UnblurError: no pipeline file, a part that is not installed, or parts that do not fit.
    """
    pipeline = Pipeline.from_toml(path)
    pipeline.check(registry)
    return pipeline
