"""Fixtures of the local cloud's unit tests."""

from unit.localcloud.scaling_world import world

__all__ = ["world"]
