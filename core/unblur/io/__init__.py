"""Images and PSFs from and to files."""

from unblur.io.atomic import atomic_path, write_json
from unblur.io.header import Header
from unblur.io.lock import output_lock
from unblur.io.psf import Psf, prepare_psf
from unblur.io.reading import expand, read, read_header
from unblur.io.series import read_series
from unblur.io.writing import check_writable, report_path, write

__all__ = [
    "Header",
    "Psf",
    "atomic_path",
    "check_writable",
    "expand",
    "output_lock",
    "prepare_psf",
    "read",
    "read_header",
    "read_series",
    "report_path",
    "write",
    "write_json",
]
