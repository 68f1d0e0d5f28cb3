"""Container images of programs that serve machines: the base image with a few of Debian's packages on top.

Images are shared by all local clouds of a machine and carry the digest of their recipe; each is made when it is first
needed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcloud import base_images
from localcloud.podman import limit_options, runtime_options

BASE = "debian-13"
BUILD_SECONDS = 600


class ServiceImageError(base_images.BaseImageError):
    """The image could not be made; the text is one sentence for the user."""


@dataclass(frozen=True)
class ServiceImage:
    """What an image is made of.

    Attributes:
        repository: podman's name of it, without the tag.
        packages: Debian's packages.
    """

    repository: str
    packages: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The image's name in podman's store: the digest is of all that it is made of."""
        sources = base_images.sources_list(base_images.host_archives(), base_images.SUITES[BASE])
        recipe = json.dumps([base_images.recipe_digest(BASE, sources), self.packages])
        return f"{self.repository}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def exists(self) -> bool:
        """Whether the image is in podman's store."""
        return subprocess.run(["podman", "image", "exists", self.reference], check=False).returncode == 0

    @base_images.one_at_a_time(__file__)
    def build(self, progress: Callable[[str], Any]) -> bool:
        """Make the image unless it is there.

        Args:
            progress: Called with a line per step.

        Returns:
            Whether it was made.

        Raises:
            ServiceImageError: It could not be made.
            BaseImageError: Its base could not be made.
        """
        if self.exists():
            return False
        base_images.build(BASE, progress)
        progress(f"making the image {self.repository} (up to a minute, once)")
        recipe = (
            f"FROM {base_images.reference(BASE)}\n"
            f"RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "
            f"install {' '.join(self.packages)} && apt-get clean && rm -rf /var/lib/apt/lists/*\n"
            f"LABEL {base_images.RECIPE_LABEL}={self.reference.rpartition(':')[2]}\n"
        )
        with tempfile.TemporaryDirectory(prefix="localcloud-image-") as folder:
            command = [
                "podman", *runtime_options(), "build", "--quiet", *limit_options(), f"--tag={self.reference}",
                "--pull=never", "--file=-", folder,
            ]  # fmt: skip
            done = subprocess.run(
                command, input=recipe, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
            raise ServiceImageError(f"The image {self.repository} could not be made: podman said {' / '.join(last)}")
        return True
