"""What leaves the dock and what comes in: results and pipelines, as files and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_deblur import copying, looks, saving, summary
from napari_deblur.conductor import Conductor
from napari_deblur.layers import LayerSource
from napari_deblur.pages.report_page import ReportPage
from napari_deblur.panel.runs_part import Run
from napari_deblur.request import Request
from unblur.io.casting import DTYPES

if TYPE_CHECKING:
    from napari_deblur.widget import Deblur


class Filing:
    """The entries of the menus that have to do with files. What goes wrong is said in the dock."""

    def __init__(self, dock: Deblur) -> None:
        self._dock = dock
        self._conductor = Conductor(dock)  # another than the dock's: a result is saved while the next run goes on
        self._conductor.failed.connect(lambda failure: dock.message.show_failure(failure))

    @property
    def busy(self) -> bool:
        """Whether a result is being written or read again."""
        return self._conductor.busy

    def save_run(self, run: Run, path: str | Path, dtype: str | None = None) -> None:
        """Write the restored image (float32 without `dtype`) with its report, its kernel and its uncertainty."""
        viewed = looks.of_layers(run.layers)  # here, since layers belong to the window's thread
        self._begin(partial(saving.save, run.result, path, dtype=dtype, viewed=viewed), "saving", self._say_saved)

    def _say_saved(self, saved: tuple[list[Path], tuple[str, ...]]) -> None:
        written, notes = saved
        self._dock.message.show_note("\n".join([f"Saved {', '.join(one.name for one in written)}.", *notes]))

    def _begin(self, work: Callable[[], Any], what: str, then: Callable[[Any], None]) -> None:
        """Do something with whole stacks in a thread, one after the other."""
        message = self._dock.message
        if self.busy:
            message.show_note("Another result is still being saved or copied. Try again when that has ended.")
            return
        message.show_note(f"{what.capitalize()} …")
        self._conductor.begin(lambda _: work(), what, then)

    def save_pipeline(self, path: str | Path, request: Request, part: LayerSource) -> None:
        """Write what a request runs as a file that the command line, Python and this dock read."""

        def write() -> None:
            pipeline = summary.chosen(request, part.image, self._dock.registry).pipeline
            self._dock.message.show_note(f"Saved {saving.save_pipeline(pipeline, path).name}.")

        self._dock.attempt(write)

    def load_pipeline(self, path: str | Path) -> None:
        """Offer a pipeline of one's own, and choose it."""

        def read() -> None:
            pipeline = saving.load_pipeline(path, self._dock.registry)
            self._dock.method_part.set_pipeline(Path(path).stem, pipeline)

        self._dock.attempt(read)

    def copy_command(self, run: Run) -> None:
        """Put the command that repeats a run on the clipboard."""
        work = partial(copying.command_line, run.part, run.request, run.result)
        self._begin(work, "copying", partial(self._copy, "command"))

    def copy_python(self, run: Run) -> None:
        """Put the script that repeats a run on the clipboard."""
        work = partial(copying.python, run.part, run.request, run.result)
        self._begin(work, "copying", partial(self._copy, "script"))

    def _copy(self, what: str, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self._dock.message.show_note(f"The {what} that repeats this run is on the clipboard.")

    def ask_save_run(self, run: Run) -> None:
        suggested = str(saving.suggested_path(run.part))
        own = run.part.image.data.dtype
        kinds = {"TIFF in floating point (*.tif *.tiff)": None}
        if own.kind in "iu" and own.name in DTYPES:
            kinds[f"TIFF as {own.name}, like the input: rounded and clipped (*.tif *.tiff)"] = own.name
        name, kind = QFileDialog.getSaveFileName(self._dock, "Save", suggested, ";;".join(kinds))
        if name and self._may_replace(name, saving.targets(run.result, name)):
            self.save_run(run, name, kinds.get(kind))

    def _may_replace(self, asked: str, files: Iterable[Path | None]) -> bool:
        """Whether files may go that the system's dialog, which knows but the one name, has not asked about."""
        there = [one for one in files if one is not None and one != Path(asked) and one.exists()]
        if not there:
            return True
        names = "\n".join(one.name for one in there)
        answer = QMessageBox.question(self._dock, "Save", f"These files are there already:\n{names}\nReplace them?")
        return bool(answer == QMessageBox.StandardButton.Yes)

    def ask_save_run_pipeline(self, run: Run) -> None:
        self._ask_pipeline(lambda: (run.request, run.part))

    def ask_save_pipeline(self) -> None:
        self._ask_pipeline(lambda: (self._dock.request(), self._dock.part()))

    def ask_load_pipeline(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self._dock, "Load pipeline", "", "Pipelines (*.toml)")
        if name:
            self.load_pipeline(name)

    def show_report(self, run: Run) -> ReportPage:
        """What was done and found in a run."""
        page = ReportPage(run.title, run.result.report, self._dock)
        page.show()
        return page

    def _ask_pipeline(self, what: Callable[[], tuple[Request, LayerSource]]) -> None:
        name, _ = QFileDialog.getSaveFileName(self._dock, "Save pipeline", "pipeline.toml", "Pipelines (*.toml)")
        if name and self._may_replace(name, [saving.pipeline_path(name)]):
            self._dock.attempt(lambda: self.save_pipeline(name, *what()))
