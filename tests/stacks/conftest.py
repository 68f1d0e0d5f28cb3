"""Stacks, each deployed once for its folder."""

import pytest

pytest.register_assert_rewrite("support.stack_trials")
