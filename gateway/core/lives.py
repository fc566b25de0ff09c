"""The register of lives: every kind of subject that the gateway knows."""

from typing import Final

from gateway.core import certificate
from gateway.core.life import Register

LIVES: Final = Register(certificate.LIFE)
