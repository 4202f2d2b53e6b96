"""Which output belongs to which input, and whether it may be written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unblur.errors import FileError
from unblur.io.atomic import check_writable as check_place
from unblur.io.atomic import sweep
from unblur.io.writing import WRITABLE, check_writable, report_path


@dataclass(frozen=True)
class Places:
    """The files of one run."""

    source: Path
    output: Path
    kernel: Path | None = None
    uncertainty: Path | None = None
    preview: Path | None = None

    @property
    def checkpoint(self) -> Path:
        return Path(f"{self.output}.checkpoint")

    def check(self) -> None:
        """Refuse, before any work, what cannot be written or would destroy the input.

        Raises:
            FileError: the file and the reason.
        """
        outputs = [path for path in (self.output, self.kernel, self.uncertainty, self.preview) if path is not None]
        for path in outputs:
            if path == self.preview:
                check_place(path)
            else:
                check_writable(path, arrays=path == self.kernel)
            if path.exists() and self.source.exists() and path.samefile(self.source):
                raise FileError(path, "is the input itself", "Choose another output")
        if len({path.resolve() for path in outputs}) < len(outputs):
            raise FileError(self.output, "two of the outputs are the same file", "Give each a name of its own")

    def sweep(self) -> None:
        """Remove what a process that was killed while it wrote these files has left."""
        for path in (self.output, report_path(self.output), self.kernel, self.uncertainty, self.preview):
            if path is not None:
                sweep(path)

    def report(self) -> Mapping[str, Any]:
        """The report beside the output; empty where there is none."""
        try:
            content = json.loads(report_path(self.output).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def check_overwrite(self, force: bool) -> None:
        """Only what was made by a run is replaced without being told.

        Raises:
            FileError: something else stands there.
        """
        if self.output.exists() and not force and "fingerprint" not in self.report():
            raise FileError(self.output, "exists, and no report says that a run made it", "--force replaces it")


def places(
    sources: Sequence[Path], output: Path, kernel: Path | None, uncertainty: Path | None, preview: Path | None
) -> list[Places]:
    """Output files for the inputs: one file for one, files of the same names in folders for many.

    Raises:
        FileError: a folder cannot be made, or two inputs would have the same output.
    """
    if len(sources) == 1 and not output.is_dir() and str(output).lower().endswith(WRITABLE):
        return [Places(sources[0], output, kernel, uncertainty, preview)]
    if len(sources) == 1 and output.suffix and not output.is_dir():
        return [Places(sources[0], output, kernel, uncertainty, preview)]
    folders = [folder for folder in (output, kernel, uncertainty, preview) if folder is not None]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(folder, f"no folder for the outputs of {len(sources)} inputs ({error.strerror})") from error
    seen: dict[str, Path] = {}
    made = []
    for source in sources:
        name = _name(source)
        if name in seen:
            raise FileError(source, f"would be written to the same file as {seen[name]}", "Run them apart")
        seen[name] = source
        data = name if name.lower().endswith((".tif", ".tiff")) else f"{source.stem}.tif"
        made.append(
            Places(
                source,
                output / name,
                kernel / data if kernel else None,
                uncertainty / data if uncertainty else None,
                preview / f"{source.stem}.png" if preview else None,
            )
        )
    return made


def _name(source: Path) -> str:
    if source.is_dir():
        return f"{source.name}.tif"
    return source.name if source.name.lower().endswith(WRITABLE) else f"{source.stem}.png"
