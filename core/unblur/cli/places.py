"""Which output belongs to which input, and whether it may be written."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unblur.errors import FileError
from unblur.image import Image
from unblur.io.atomic import check_writable as check_place
from unblur.io.atomic import refuse_input, sweep, write_json
from unblur.io.kernels import ARRAYS
from unblur.io.reading import SUFFIXES
from unblur.io.video import VIDEO
from unblur.io.writing import WRITABLE, check_holds, check_writable, report_path
from unblur.savepoint import OUTPUTS

FILES = (*SUFFIXES, *VIDEO, ARRAYS)
"""Endings that name a file, and no folder."""


_COARSE_TIME = 2.0
"""Seconds that file systems may round the time of a change by; a report is written after what it tells of."""


@dataclass(frozen=True)
class Places:
    """The files of one run.

    Args:
        many: whether this run is one of several, so that messages name its source.
    """

    source: Path
    output: Path
    kernel: Path | None = None
    uncertainty: Path | None = None
    preview: Path | None = None
    many: bool = False

    @property
    def checkpoint(self) -> Path:
        return Path(f"{self.output}.checkpoint")

    @property
    def others(self) -> list[Path]:
        """What is written beside the image."""
        return [path for path in (self.kernel, self.uncertainty, self.preview) if path is not None]

    def check(self, inputs: Sequence[Path] = ()) -> None:
        """Refuse, before any work, what cannot be written or would destroy the input, or one of the other `inputs`.

        Raises:
            FileError: the file and the reason.
        """
        outputs = [self.output, *self.others, report_path(self.output)]
        for path in outputs:
            if path in (self.preview, report_path(self.output)):
                check_place(path)
            else:
                check_writable(path, arrays=path == self.kernel)
        for path in outputs:
            for given in (self.source, *inputs):
                refuse_input(path, given)
        if len({os.path.realpath(path) for path in outputs}) < len(outputs):
            raise FileError(self.output, "two of the outputs are the same file", "Give each a name of its own")
        if self.preview is not None and self.preview.suffix.lower() != ".png":
            raise FileError(self.preview, "is no PNG file", "Name the preview something.png")

    def sweep(self) -> None:
        """Remove what a process that was killed while it wrote these files has left."""
        for path in (self.output, report_path(self.output), *self.others):
            sweep(path)

    def report(self) -> Mapping[str, Any]:
        """The report beside the output; empty where there is none."""
        try:
            content = json.loads(report_path(self.output).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def check_overwrite(self, force: bool) -> None:
        """Only what was made by a run is replaced without being told: what a report says so of, as the run left it.

        Raises:
            FileError: something else stands there.
        """
        if force:
            return
        made, begun = self.made(), self._begun()
        report = report_path(self.output)
        if report.exists() and "fingerprint" not in self.report():
            raise FileError(report, "stands where the report will be, and is none", "--force replaces it")
        for path in (self.output, *self.others):
            name = self.as_reported(path)
            if not path.exists() or name in begun:
                continue
            if name not in made:
                raise FileError(path, "exists, and no report says that a run made it", "--force replaces it")
            if path != self.preview and path.stat().st_mtime > report.stat().st_mtime + _COARSE_TIME:
                raise FileError(path, "is newer than its report: changed, or copied, since", "--force replaces it")

    def as_reported(self, path: Path) -> str:
        """A file as reports name it, from the folder of the output."""
        try:
            return os.path.relpath(path, self.output.parent)
        except ValueError:  # on another drive
            return os.path.abspath(path)

    def made(self) -> Collection[str]:
        """The files that the run made which the report beside the output tells of."""
        report = self.report()
        return {self.as_reported(self.output), *report.get("files", ())} if "fingerprint" in report else ()

    def begin(self) -> None:
        """Note in the checkpoint which files, that may be replaced, will be written: a kill may leave some of them."""
        if self.checkpoint.is_dir():
            names = [self.as_reported(path) for path in (self.output, *self.others)]
            write_json(self.checkpoint / OUTPUTS, {"files": names})

    def _begun(self) -> Collection[str]:
        """The files that an interrupted run may have written."""
        try:
            content = json.loads((self.checkpoint / OUTPUTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ()
        names = content.get("files") if isinstance(content, dict) else None
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else ()

    def check_formats(self, image: Image, dtype: str | None, motion: bool = False) -> None:
        """Refuse, before any work, formats that cannot hold the result for an image.

        Args:
            motion: what blurs is a flow between frames.

        Raises:
            FileError: the file and the reason.
        """
        png = any(str(path).lower().endswith(".png") for path in (self.output, self.uncertainty))
        like = np.broadcast_to(np.float32(np.nanmax(image.data) if png else 1), image.shape)
        check_holds(self.output, image.with_data(like), dtype)
        if self.uncertainty is not None:
            check_holds(self.uncertainty, image.with_data(like))
        if self.kernel is not None and str(self.kernel).lower().endswith(VIDEO):
            raise FileError(self.kernel, "a kernel is no video", "Choose .tif, .npz or .png")
        if motion and self.kernel is not None and str(self.kernel).lower().endswith(".png"):
            raise FileError(self.kernel, "a PNG does not hold the motion between frames", "Choose .tif or .npz")

    def as_asked(self, dtype: str | None) -> bool:
        """Whether the run of the report has made all that is asked for, in this dtype (None: that of the format).

        A preview is not waited for: one that could not be written before cannot be written now.
        """
        report, made = self.report(), self.made()
        spread = self.uncertainty if report.get("uncertainty") is not None else None
        wanted = [path for path in (self.output, self.kernel, spread) if path is not None]
        if not all(path.exists() and self.as_reported(path) in made for path in wanted):
            return False
        return bool(report.get("dtype") == self.dtype(dtype))

    def dtype(self, asked: str | None) -> str | None:
        """The numbers of the output: those that are asked for, or that a TIFF has without; None where others decide."""
        return asked or ("float32" if self.output.suffix.lower() in (".tif", ".tiff") else None)


def places(
    sources: Sequence[Path], output: Path, kernel: Path | None, uncertainty: Path | None, preview: Path | None
) -> list[Places]:
    """Output files for the inputs: one file for one, files of the same names in folders for many.

    Raises:
        FileError: a folder cannot be made, or two inputs would have the same output.
    """
    if len(sources) == 1 and output.suffix and not output.is_dir():
        return [Places(sources[0], output, kernel, uncertainty, preview)]
    if len(sources) == 1:
        place = Places(sources[0], output / _name(sources[0]), kernel, uncertainty, preview)
        if not any(path.is_dir() or not path.suffix for path in place.others):
            _make_folder(output, 1)
            return [place]
    folders = [folder for folder in (output, kernel, uncertainty, preview) if folder is not None]
    for folder in folders:
        if folder.suffix.lower() in FILES and not folder.is_dir():
            count = "several inputs need" if len(sources) > 1 else "the others need"
            raise FileError(folder, f"is the name of a file, and {count} a folder", "Name folders for all, or files")
        _make_folder(folder, len(sources))
    seen: dict[Path, Path] = {}
    made = []
    for source in sources:
        name = _name(source)
        data = name if name.lower().endswith((".tif", ".tiff")) else f"{source.stem}.tif"
        files = Places(
            source,
            output / name,
            kernel / data if kernel else None,
            uncertainty / data if uncertainty else None,
            preview / f"{source.stem}.png" if preview else None,
            many=len(sources) > 1,
        )
        for path in {files.output, *files.others}:
            if path in seen:
                raise FileError(source, f"would be written to the same file as {seen[path]}: {path}", "Run them apart")
            seen[path] = source
        made.append(files)
    return made


def refuse_existing(path: Path, force: bool) -> None:
    """Raise a FileError where a file stands that would be replaced, unless that was asked for."""
    if path.exists() and not force:
        raise FileError(path, "exists", "--force replaces it")


def refuse_among(everything: Sequence[Places], folders: Sequence[Path]) -> None:
    """Raise a FileError where an output would lie in one of these folders, whose files are the inputs."""
    given = {os.path.realpath(folder) for folder in folders}
    for files in everything:
        for path in (files.output, *files.others):
            if os.path.realpath(path.parent) in given and path.name.lower().endswith(FILES):
                raise FileError(path, "would lie among the inputs, and be one of them later", "Choose another folder")


def _make_folder(folder: Path, count: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(folder, f"no folder for the outputs of {count} inputs ({error.strerror})") from error


def _name(source: Path) -> str:
    if source.is_dir():
        return f"{source.resolve().name}.tif"
    if source.name.lower().endswith(WRITABLE):
        return source.name
    return f"{source.stem}.png" if source.suffix.lower() in (".jpg", ".jpeg") else f"{source.stem}.tif"
