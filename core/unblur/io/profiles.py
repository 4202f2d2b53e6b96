"""Colour profiles, as they stand in files."""

from __future__ import annotations

from unblur.image import Image


def profile_of(image: Image) -> bytes | None:
    """The profile that an image's file had, if it belongs to such an image; readers refuse the rest."""
    profile: bytes | None = image.metadata.get("icc_profile")
    kind = b"RGB " if image.is_rgb else b"GRAY"
    return profile if profile and profile[16:20] == kind else None
