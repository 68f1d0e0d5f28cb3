"""The command line of the local cloud."""

from __future__ import annotations

import argparse
import sys

from localcloud.settings import Settings, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="localcloud", description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 2
    from localcloud.server import serve

    settings.state.mkdir(parents=True, exist_ok=True)
    serve(settings)
    return 0
