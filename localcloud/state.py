"""The API's state on disk: moto's backends, pickled together.

One file holds all backends, since they refer to each other's objects (a group to its instances). It can only be read
by the same versions of moto and Python. The contents of S3 objects are kept in files of their own, named by their
digest, so that a change elsewhere does not write them again. A write of the API is on disk about half a second later.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import sys
import threading
import time
import weakref
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import cloudpickle
import moto
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificate
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.ec2.models.vpcs import VPCBackend
from moto.s3.models import FakeKey, s3_backends

log = logging.getLogger("localcloud")

WRITTEN_BY = f"moto {moto.__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"
PrivateKeyTypes = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
# The tagging API keeps but the pages of running listings, as generators: after a restart their tokens have expired.
NOTHING_TO_KEEP = ("moto_api", "resourcegroupstaggingapi")
_LOCK = type(threading.Lock())
_RLOCK = type(threading.RLock())
# Writes come in bursts; one file for each is enough. Saving takes at most a fifth of the time.
GATHER = 0.1
PAUSE_FACTOR = 4


class StateError(RuntimeError):
    """The state on disk cannot be used; the text is one sentence for the user."""


class Store:
    """Saves the backends after writes, and loads them when the server starts.

    Args:
        folder: The cloud's folder of state.
        lock: Held while moto's objects are touched.
    """

    def __init__(self, folder: Path, lock: threading.RLock) -> None:
        self._path = folder / "state.pickle"
        self._objects = folder / "objects"
        self._lock = lock
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)

    def start(self) -> None:
        """Begin to save after changes."""
        self._thread.start()

    def changed(self) -> None:
        """Something was written to the API."""
        self._changed.set()

    def close(self) -> None:
        """Save what is not saved yet."""
        self._stopping.set()
        self._changed.set()
        self._thread.join(timeout=30)
        self.save()

    def load(self) -> bool:
        """Restore the backends; returns whether there was anything.

        Raises:
            StateError: The file is of another version of moto, or damaged.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            state = _Unpickler(io.BytesIO(data), self._objects).load()
            if state["written_by"] != WRITTEN_BY:
                raise StateError(
                    f"The state in {self._path} was written by {state['written_by']}, this is {WRITTEN_BY}: "
                    "run `localcloud down` and begin anew."
                )
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, KeyError, TypeError, OSError) as error:
            raise StateError(
                f"The state in {self._path} cannot be read ({error}): run `localcloud down` and begin anew."
            ) from error
        for service, accounts in state["backends"].items():
            backends = get_backend(service)
            for account, regions in accounts.items():
                for region, backend in regions.items():
                    # The subclass creates a missing region; the plain dictionary does not.
                    dict.__setitem__(backends[account], region, backend)
                    if service == "ec2":
                        # Endpoint services find the VPC backends by this class attribute.
                        VPCBackend.vpc_refs[type(backend)].add(weakref.ref(backend))
        s3_backends.bucket_accounts.update(state["bucket_accounts"])
        return True

    def save(self) -> None:
        """Write all backends."""
        with self._lock:
            buffer = io.BytesIO()
            _Pickler(buffer, self._objects).dump(
                {
                    "written_by": WRITTEN_BY,
                    "bucket_accounts": dict(s3_backends.bucket_accounts),
                    "backends": {
                        backends.service_name: {
                            account: dict(regions.items()) for account, regions in dict.items(backends)
                        }
                        for backends in list(BackendDict._instances)
                        if backends.service_name not in NOTHING_TO_KEEP
                    },
                }
            )
        temporary = self._path.with_suffix(".new")
        with open(temporary, "wb", opener=_private) as file:
            file.write(buffer.getbuffer())
        temporary.replace(self._path)

    def _run(self) -> None:
        pause = GATHER
        while not self._stopping.is_set():
            self._changed.wait()
            self._stopping.wait(pause)
            self._changed.clear()
            started = time.monotonic()
            try:
                self.save()
            except Exception:
                # The cloud goes on; the log says what would not survive a restart.
                log.exception("the state could not be saved")
            pause = max(GATHER, PAUSE_FACTOR * (time.monotonic() - started))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Pickler(cloudpickle.Pickler):
    """Pickles backends; knows what moto keeps that pickle cannot: its lambdas are cloudpickle's part."""

    def __init__(self, file: io.BytesIO, objects: Path) -> None:
        super().__init__(file, protocol=5)
        self._objects = objects

    def reducer_override(self, obj: Any) -> Any:
        reduction: tuple[Any, ...] | None = None
        if isinstance(obj, FakeKey):
            attributes = obj.__getstate__()
            reduction = _restore_key, (type(obj), attributes, _Content(self._keep(attributes.pop("value") or b"")))
        elif isinstance(obj, dict) and type(obj) is not dict and not isinstance(obj, OrderedDict):
            # moto's own mappings take other arguments than dict would call them with, and hide what they hold.
            content = (getattr(obj, "__dict__", {}), dict(dict.items(obj)), getattr(obj, "default_factory", None))
            reduction = _new, (type(obj),), content, None, None, _fill_mapping
        elif isinstance(obj, _LOCK):
            reduction = threading.Lock, ()
        elif isinstance(obj, _RLOCK):
            reduction = threading.RLock, ()
        elif isinstance(obj, PrivateKeyTypes):
            pem = obj.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            reduction = _private_key, (pem,)
        elif isinstance(obj, Certificate):
            reduction = _certificate, (obj.public_bytes(Encoding.PEM),)
        return super().reducer_override(obj) if reduction is None else reduction

    def persistent_id(self, obj: Any) -> Any:
        return obj.digest if isinstance(obj, _Content) else None

    def _keep(self, value: bytes) -> str:
        digest = hashlib.sha256(value).hexdigest()
        path = self._objects / digest
        if not path.exists():
            self._objects.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            with open(temporary, "wb", opener=_private) as file:
                file.write(value)
            temporary.replace(path)
        return digest


class _Unpickler(pickle.Unpickler):
    """Reads what the pickler wrote."""

    def __init__(self, file: io.BytesIO, objects: Path) -> None:
        super().__init__(file)
        self._objects = objects

    def persistent_load(self, pid: Any) -> bytes:
        return (self._objects / str(pid)).read_bytes()


class _Content:
    """Stands for the contents of an S3 object while pickling."""

    def __init__(self, digest: str) -> None:
        self.digest = digest


def _new(mapping_class: type[Any]) -> Any:
    return mapping_class.__new__(mapping_class)  # type: ignore[call-overload]


def _fill_mapping(mapping: dict[Any, Any], content: tuple[dict[str, Any], dict[Any, Any], Any]) -> None:
    attributes, items, factory = content
    if attributes:
        vars(mapping).update(attributes)
    if isinstance(mapping, defaultdict):
        mapping.default_factory = factory
    dict.update(mapping, items)


def _private_key(pem: bytes) -> Any:
    # cryptography's own loader is a built-in that pickle cannot find again by its name.
    return load_pem_private_key(pem, None)


def _certificate(pem: bytes) -> Certificate:
    return load_pem_x509_certificate(pem)


def _restore_key(key_class: type[FakeKey], attributes: dict[str, Any], value: bytes) -> FakeKey:
    key = object.__new__(key_class)
    # Assigning the value sets these anew.
    kept = dict(attributes)
    key.__setstate__({**attributes, "value": value})
    key.__dict__.update({name: kept[name] for name in ("contentsize", "_etag") if name in kept})
    return key
