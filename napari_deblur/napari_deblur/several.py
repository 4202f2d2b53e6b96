"""Several runs at a press: methods side by side on one region, and a batch of layers and files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deblur import layers, regions, results, saving, summary, work
from napari_deblur.facts import KEY, facts
from napari_deblur.live import Live
from napari_deblur.looks import role_of
from napari_deblur.pages.batch_page import Batch, BatchPage
from napari_deblur.pages.compare_page import ComparePage
from napari_deblur.panel.image_part import image_layers
from napari_deblur.panel.runs_part import Run
from napari_deblur.request import Request
from napari_deblur.worker import Failure
from unblur.clips import is_video
from unblur.errors import FileError, ParameterError, UnblurError
from unblur.image import Image
from unblur.io import read, read_header

if TYPE_CHECKING:
    from napari.layers import Image as ImageLayer

    from napari_deblur.widget import Deblur


class Several:
    """Asks what is to be run, runs it, and brings what comes of it into the viewer."""

    def __init__(self, dock: Deblur) -> None:
        self._dock = dock

    def ask_compare(self) -> ComparePage | None:
        """Choose methods that run on the rectangle, side by side; without a rectangle, offer one."""
        pages: list[ComparePage] = []
        self._dock.attempt(lambda: pages.extend(self._compare_page()), alone=True)
        return pages[0] if pages else None

    def _compare_page(self) -> list[ComparePage]:
        dock = self._dock
        if dock.offered_region():
            return []
        request, part = dock.region_request()
        every = dock.method_part.fitting().items()
        fitting = {name: good_for for name, good_for in every if self._comparable(self._with(name, request), part)}
        page = ComparePage(fitting, [dock.method_part.method or "", *list(fitting)[:2]], dock)
        page.chosen.connect(lambda names: dock.attempt(partial(self.compare, names), alone=True))
        page.show()
        return [page]

    def _with(self, method: str, request: Request) -> Request:
        """The same with another method, as it stands."""
        blur = self._dock.blur_part.arguments().get("settings", {})
        return dataclasses.replace(request, method=method, pipeline=None, settings=blur)

    def _comparable(self, request: Request, part: layers.LayerSource) -> bool:
        """Whether it can run on the rectangle as the dock's own method does: both as a video, or neither."""
        dock = self._dock
        try:
            pipeline = summary.chosen(request, part.image, dock.registry).pipeline
        except UnblurError:  # such as a kernel size that it does not take
            return False
        return is_video(pipeline, dock.registry) == is_video(dock.method_part.pipeline(), dock.registry)

    def compare(self, names: Sequence[str]) -> None:
        """Run methods on the rectangle; those that cannot run are left out, and named with the reason.

        Raises:
            UnblurError: there is no rectangle that could be run, or something in the dock cannot be used.
        """
        dock = self._dock
        request, part = dock.region_request()
        requests = [(name, self._with(name, request)) for name in names]
        then = partial(self._show_compared, dock.image_part.now(), part)
        dock.begin(work.compare(part.load, requests, dock.registry), "comparison", then, live=Live(dock.viewer, part))

    def _show_compared(
        self, source: layers.LayerSource, part: layers.LayerSource, found: list[tuple[str, Any]]
    ) -> Iterator[None]:
        """The region as it was and as each method restored it, in a row to the right of the image."""
        viewer = self._dock.viewer
        observed = {**part.geometry, **part.display, "name": f"{part.name} [observed]", "rgb": part.image.is_rgb}
        observed["metadata"] = {KEY: {**facts(part.image), "role": "observed", "of": part.name}}
        row = [(found[0][1].source.data, observed)] if found else []
        for name, result in found:
            data, attributes, _ = results.layers(result, part, f"{part.name} [{name}]")[0]
            row.append((data, attributes))
        for place, (data, attributes) in enumerate(row):
            viewer.add_image(data, **{**attributes, "translate": regions.beside(source, part, place)})
            yield
        viewer.reset_view()
        if notes := self._dock.notes:
            self._dock.message.show_note("\n".join(notes))

    def ask_batch(self) -> BatchPage | None:
        """Choose layers and files that are restored one after the other."""
        dock = self._dock
        pages: list[BatchPage] = []
        dock.attempt(lambda: pages.append(self._batch_page()), alone=True)
        return pages[0] if pages else None

    def _batch_page(self) -> BatchPage:
        dock = self._dock
        psf = dock.blur_part.psf_layer
        said = summary.words_of_batch(dock.request(whole=True))
        page = BatchPage(image_layers(dock.viewer), said, dock, lambda layer: layer is psf or bool(role_of(layer)))
        page.chosen.connect(lambda batch: dock.attempt(partial(self.batch, batch), alone=True))
        page.show()
        return page

    def batch(self, chosen: Batch) -> None:
        """Restore layers and files with what the dock says; files, and layers where there is a folder, into files.

        Raises:
            UnblurError: what the dock says, the names or the folder cannot be used.
        """
        dock = self._dock
        request = dock.request(whole=True)
        sources = [self._source(layer) for layer in chosen.layers]
        names = [*(one.name for one in sources), *(path.name for path in chosen.files)]
        loads: list[work.Load] = [one.load for one in sources]
        loads += [partial(_read, path, chosen.axes) for path in chosen.files]
        paths: list[Path | None] = [None] * len(names)
        if chosen.folder is not None:
            _make(chosen.folder)
            paths = [*saving.batch_paths(names, chosen.folder, chosen.pattern)]
        shown = [number < len(sources) for number in range(len(names))]
        items = [work.Item(*one) for one in zip(names, loads, paths, shown, strict=True)]
        of = {id(item): source for item, source in zip(items, sources, strict=False)}
        each = partial(self._show_restored, request, of)
        dock.begin(work.batch(items, request, dock.registry), "batch", self._tell_batch, each=each)

    def _source(self, layer: ImageLayer) -> layers.LayerSource:
        try:
            return self._dock.image_part.read(layer)
        except UnblurError as error:
            raise ParameterError(f"{layer.name}: {error}. Leave it out, or mend it first") from error

    def _show_restored(
        self, request: Request, of: dict[int, layers.LayerSource], restored: work.Restored
    ) -> Iterator[None]:
        dock, source = self._dock, of[id(restored.item)]
        yield from dock.keep(Run(f"{restored.item.name}, batch", request, source, restored.result))

    def _tell_batch(self, done: list[work.Done]) -> None:
        dock = self._dock
        said = "\n".join(f"{one.item.name}: {one.said}" for one in done)
        failed = sum(not one.complete for one in done)
        if failed:
            dock.message.show_failure(Failure(f"{failed} of {len(done)} were not restored, or not wholly.", said))
        else:
            dock.message.show_note(said)


def _read(path: Path, axes: str | None, _: Callable[[], None]) -> Image:
    """The image of a file, with these axes where the file says none; read in one go."""
    try:
        said = read_header(path).axes
    except FileError:  # of a video; what cannot be read at all is said below
        said = ""
    return read(path, axes=axes if said is None else None)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(folder, f"cannot be made ({error.strerror or error})", "Choose another folder") from error
