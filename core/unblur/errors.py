"""Everything that can go wrong and is not a bug of the caller's Python: one root, one class for each kind of remedy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


class UnblurError(Exception):
    """Root of all errors that a user can act on; the message says what came, what was expected and the fix."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[UnblurError], args: tuple[Any, ...], state: dict[str, Any]) -> UnblurError:
    """An error as it was before it was pickled; its constructor may have taken more than its message."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def described(error: BaseException) -> str:
    """The kind of an error and what it says; a plugin's own may fail at that as well."""
    try:
        said = str(error)
    except Exception:
        said = "it cannot say what is wrong"
    return f"{type(error).__name__}: {said}"


class ImageError(UnblurError, ValueError):
    """An image, PSF or array that cannot be used as it is."""


class FileError(UnblurError, OSError):
    """A file that cannot be read or written as it is; the message begins with its path."""

    def __init__(self, path: object, problem: str, fix: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f". {fix}" if fix else ""))
        self.path, self.problem, self.fix = Path(str(path)), problem, fix


class ParameterError(UnblurError, ValueError):
    """A parameter outside its declaration: unknown, of the wrong type, or out of bounds."""


class CompositionError(UnblurError, ValueError):
    """Parts of a pipeline that do not fit each other; the message names both and what would fit."""


class UnknownNameError(UnblurError, LookupError):
    """A component, method or plugin that is not registered."""

    def __init__(self, what: str, name: str, choices: Iterable[str], hint: str = "") -> None:
        listed = ", ".join(sorted(choices)) or "none is registered"
        super().__init__(f"no {what} named {name!r}; choose one of: {listed}" + (f". {hint}" if hint else ""))


class PluginError(UnblurError):
    """A plugin that could not be loaded, broke a rule of the registry, or failed when called."""


class DivergedError(UnblurError, ArithmeticError):
    """The misfit stayed NaN or infinite after stepping back once with a smaller step."""


class ResourceError(UnblurError, MemoryError):
    """The run would need more memory than there is; the message says what would fit."""


class CancelledError(UnblurError):
    """The run was cancelled before it had begun."""


class CheckpointError(UnblurError):
    """A checkpoint that does not belong to this run or cannot be read."""


class ConformanceError(UnblurError, AssertionError):
    """A component that breaks a rule of its kind (`unblur.testing`); the message names component, plugin and rule."""
