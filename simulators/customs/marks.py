"""Seal and officers' signatures of the simulated customs. The seal says 模拟: nobody should take it for real."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from renderers.bindings import Mark
from renderers.demo_marks import customs_seal, handwriting
from renderers.layout import ImageKind

SEAL = 40.0
"""Diameter of the signing seal (签证印章), mm."""
SIGNATURE = (32.0, 14.0)
"""Width and height of an officer's signature, mm."""
SEAL_DPI, SIGNATURE_DPI = 300, 600
"""A scan has 600; every layout document carries both pictures, so the large one has half of it."""


class Marks:
    """What the simulated customs stamps and signs with; drawn once per office and officer."""

    def of(self, office: str, officer: str) -> tuple[Mapping[ImageKind, Mark], Mapping[str, bytes]]:
        """Marks by kind for the composer, and the PNG files by SHA-256 for the layout document.

        `office` is the text on the seal's arc, in Chinese.
        """
        seal, signature = _seal(office), _signature(officer)
        seal_name, signature_name = sha256(seal).hexdigest(), sha256(signature).hexdigest()
        marks = {
            ImageKind.CUSTOMS_SEAL: Mark(seal_name, SEAL, SEAL),
            ImageKind.OFFICER_SIGNATURE: Mark(signature_name, *SIGNATURE),
        }
        return marks, {seal_name: seal, signature_name: signature}


@lru_cache(maxsize=64)
def _seal(office: str) -> bytes:
    return customs_seal(office, diameter=SEAL, dpi=SEAL_DPI)


@lru_cache(maxsize=64)
def _signature(officer: str) -> bytes:
    width, height = SIGNATURE
    return handwriting(officer, width=width, height=height, dpi=SIGNATURE_DPI)
