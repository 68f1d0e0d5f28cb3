"""Programs of the roles, which have no suffix, as modules."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load(path: Path) -> ModuleType:
    """Run a program's definitions anew, not its ``main``."""
    loader = importlib.machinery.SourceFileLoader(path.name.replace("-", "_"), str(path))
    specification = importlib.util.spec_from_loader(loader.name, loader)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    # Dataclasses look their module up.
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module
