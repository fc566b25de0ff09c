"""A disk of its own for one folder, to be filled up and emptied. Only root mounts, and not in every container."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

BALLAST = ".ballast"
PIECE = 1 << 16


class Disk:
    """What is mounted over `folder`."""

    def __init__(self, folder: Path, mib: int, image: Path | None = None) -> None:
        """`image`: a sparse file with a file system in it, for what is too large for memory (a tmpfs)."""
        self.folder = folder
        self.mounted = False
        self.how = ""
        self._mib = mib
        self._image = image

    def open(self) -> None:
        """Mount it; where that is not allowed nothing changes, and `mounted` says so."""
        self.close()  # of a run that was killed
        if os.geteuid() != 0:
            return
        ways = [("tmpfs", ["-t", "tmpfs", "-o", f"size={self._mib}m,mode=700", "storm", str(self.folder)])]
        if self._image is not None and self._made(self._image):
            ways.insert(0, ("ext4", ["-o", "loop", str(self._image), str(self.folder)]))
        for name, words in ways:
            if _succeeds("mount", *words):
                self.mounted, self.how = True, f"{name} of {self._mib} MiB"
                with contextlib.suppress(OSError):
                    (self.folder / "lost+found").rmdir()
                return

    def fill(self) -> None:
        """No file grows any more."""
        with contextlib.suppress(OSError), (self.folder / BALLAST).open("ab", buffering=0) as file:
            room = os.statvfs(self.folder)
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)
            file.seek(0, os.SEEK_END)
            for piece in (PIECE, 512):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(piece))

    def empty(self) -> None:
        """There is room again."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """The disk is given back."""
        if os.geteuid() == 0 and os.path.ismount(self.folder):
            _succeeds("umount", "-l", str(self.folder))
        self.mounted = False

    def _made(self, image: Path) -> bool:
        with image.open("wb") as file:
            file.truncate(self._mib << 20)
        program = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
        return program is not None and _succeeds(program, "-q", "-m", "0", str(image))


def _succeeds(*command: str) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False
