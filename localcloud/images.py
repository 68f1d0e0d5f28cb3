"""Machine images: a baked image is a committed container, named by the AMI's id.

CreateImage stops the machine unless ``NoReboot`` is given, commits it and starts it again; meanwhile the image is
``pending``. CopyImage is one more name for the same layers, DeregisterImage takes the name away. Debian's own AMIs
are the base images (see ``base_images``). What a machine only has because it runs here is taken out again: mount
points that podman made for bind mounts are the only trace of it.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance

from localcloud import base_images, virtual_machines
from localcloud.cloud import Cloud
from localcloud.machines import STOP_SECONDS
from localcloud.patches import ec2_images, ec2_instances
from localcloud.podman import PodmanError

# A removed image may still be in use by a machine; look again now and then.
RETRY_SECONDS = 20.0
# Places that are never part of an image.
VOLATILE = ("/run", "/proc", "/sys", "/dev", "/tmp")  # noqa: S108 (a prefix to compare with)


class Images:
    """Makes and removes the file systems behind the account's images."""

    name = "images"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="image")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._tags: set[str] | None = None
        self._retry_at = 0.0
        ec2_images.on_new_image = self._new_image
        ec2_instances.base_reference = base_reference

    def reconcile(self) -> None:
        """Commit what is pending; remove what no image refers to."""
        with self._cloud.lock:
            images = {
                image_id: image
                for region in list(self._cloud.regions("ec2"))
                for image_id, image in region.amis.items()
            }
            jobs = {
                image_id: dict(image.localcloud_job)
                for image_id, image in images.items()
                if image.state == "pending" and hasattr(image, "localcloud_job")
            }
        for image_id, job in jobs.items():
            if image_id not in self._busy and self._is_ready(job):
                self._busy.add(image_id)
                if job["instance"]:
                    self._cloud.held.add(job["instance"])
                self._pool.submit(self._run, images[image_id], job)
        self._remove_unknown(set(images))

    def close(self) -> None:
        """Let a commit under way finish."""
        self._pool.shutdown(wait=True)

    def _new_image(self, image: Ami, source: Instance | Ami, may_stop: bool) -> None:
        """Called by the API, under the lock: note what is to be done."""
        image.state = "pending"
        from_instance = isinstance(source, Instance)
        image.localcloud_job = {
            "instance": source.id if from_instance else None,
            "reference": None if from_instance else ec2_instances.image_reference(source),
            "may_stop": may_stop,
        }

    def _is_ready(self, job: dict[str, Any]) -> bool:
        """Whether the source can be copied now: an instance that is being stopped is waited for."""
        if not job["instance"]:
            return True
        with self._cloud.lock:
            state: str = self._cloud.backend("ec2").get_instance(job["instance"]).state
        container = self._cloud.podman.container(job["instance"])
        if container is None:
            return state == "terminated"
        return state != "stopped" or not container.running

    def _run(self, image: Ami, job: dict[str, Any]) -> None:
        reference = f"{self._cloud.settings.image_repository}:{image.id}"
        started = time.monotonic()
        try:
            if job["instance"]:
                self._bake(job["instance"], reference, job["may_stop"])
            elif job["reference"]:
                self._cloud.podman("tag", job["reference"], reference)
            else:
                raise PodmanError("the source image has no file system here")  # noqa: TRY301
        except Exception as error:
            self._cloud.log.exception("image %s", image.id)
            self._settle(image, "failed", None, str(error))
        else:
            self._settle(image, "available", reference, "")
            self._cloud.log.info("image %s is available after %.1f s", image.id, time.monotonic() - started)
        finally:
            self._cloud.held.discard(job["instance"] or "")
            self._busy.discard(image.id)
            self._cloud.podman.forget()
            self._cloud.dirty()

    def _settle(self, image: Ami, state: str, reference: str | None, reason: str) -> None:
        with self._cloud.lock:
            image.state = state
            image.localcloud_reference = reference
            image.state_reason = {"Code": "Server.InternalError", "Message": reason} if reason else None
            del image.localcloud_job
        if self._tags is not None and reference:
            self._tags.add(image.id)
        self._cloud.changed()

    def _bake(self, instance_id: str, reference: str, may_stop: bool) -> None:
        podman = self._cloud.podman
        container = podman.container(instance_id)
        if container is None:
            raise PodmanError("the instance has been terminated")
        if container.labels.get(virtual_machines.LABEL):
            raise PodmanError("no image can be made of an instance with a kernel of its own")
        details = podman.inspect(instance_id)
        stops = container.running and may_stop
        if stops:
            podman("stop", f"--time={STOP_SECONDS}", instance_id, timeout=STOP_SECONDS + 60)
        try:
            targets = [mount["Destination"] for mount in details["Mounts"]]
            base = details["Image"]
            # A running machine's mount points are in use: they are taken out of the copy.
            if stops or not container.running:
                self._strip(instance_id, base, targets)
                self._commit(instance_id, reference, details)
            else:
                self._commit(instance_id, reference, details)
                copy = podman("create", reference).strip()
                try:
                    if self._strip(copy, base, targets):
                        self._commit(copy, reference, details)
                finally:
                    podman("rm", "--force", copy)
        finally:
            if stops:
                podman("start", instance_id)

    def _commit(self, container: str, reference: str, details: dict[str, Any]) -> None:
        own = [line.partition("=")[0] for line in details["Config"]["Env"] or []]
        inherited = {
            line.partition("=")[0]
            for line in json.loads(self._cloud.podman("image", "inspect", details["Image"]))[0]["Config"].get("Env")
            or []
        }
        changes = [f"ENV {name}=" for name in own if name.startswith("AWS_") and name not in inherited]
        # An image keeps its machine's labels; what is made of it is no machine until it is labelled as one.
        labels = {"localcloud": self._cloud.settings.name, "localcloud.kind": "", "localcloud.id": ""}
        changes += ['CMD ["/sbin/init"]', *(f"LABEL {name}={value}" for name, value in labels.items())]
        self._cloud.podman(
            "commit", "--quiet", *(f"--change={change}" for change in changes), container, reference, timeout=600
        )

    def _strip(self, container: str, base: str, targets: list[str]) -> int:
        """Remove the mount points that podman made; returns how many there were."""
        podman, removed = self._cloud.podman, 0
        root = Path(podman("mount", container).strip())
        original = Path(podman("image", "mount", base).strip())
        try:
            for target in targets:
                relative = target.lstrip("/")
                if target.startswith(VOLATILE) or (original / relative).exists():
                    continue
                removed += _remove_empty(root / relative)
        finally:
            podman("image", "unmount", base)
            podman("unmount", container)
        return removed

    def _remove_unknown(self, known: set[str]) -> None:
        if self._tags is None:
            listing = self._cloud.podman(
                "images", "--format={{.Tag}}", f"--filter=reference={self._cloud.settings.image_repository}"
            )
            self._tags = set(listing.split())
        unknown = self._tags - known - self._busy
        if not unknown or time.monotonic() < self._retry_at:
            return
        for tag in unknown:
            try:
                self._cloud.podman("rmi", f"{self._cloud.settings.image_repository}:{tag}")
            except PodmanError as error:
                self._cloud.log.info("image %s is still in use: %s", tag, error)
                self._retry_at = time.monotonic() + RETRY_SECONDS
            else:
                self._tags.discard(tag)


def base_reference(image: Any) -> str | None:
    """Podman's name of the base image behind one of Debian's images, or None."""
    for name in base_images.SUITES:
        if image.owner_id == base_images.DEBIAN_ACCOUNT and str(image.name).startswith(f"{name}-"):
            return base_images.reference(name)
    return None


def _remove_empty(path: Path) -> int:
    """Remove an empty file or folder; returns how many."""
    if path.is_symlink():
        return 0
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()
        return 1
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
        return 1
    return 0
