"""Fixtures of the local cloud's unit tests."""

from unit.localcloud.backup_account import account_of_a_test
from unit.localcloud.scaling_world import world

__all__ = ["account_of_a_test", "world"]
