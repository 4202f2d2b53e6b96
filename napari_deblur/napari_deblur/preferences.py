"""Where and how to compute, from napari's preferences (File → Preferences → Deblur)."""

from __future__ import annotations

from dataclasses import dataclass

PLUGIN = "napari-deblur"


@dataclass(frozen=True)
class Preferences:
    """Device, precision and threads as `unblur.Job` takes them; threads is None for all processors."""

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None


def preferences() -> Preferences:
    """What the user has set; the defaults where napari does not know this plugin, or keeps no settings."""
    from napari.settings import get_plugin_settings

    try:
        compute = get_plugin_settings(PLUGIN).compute  # type: ignore[attr-defined]
        return Preferences(compute.device.strip() or "auto", compute.precision, compute.threads or None)
    except (KeyError, AttributeError):
        return Preferences()
