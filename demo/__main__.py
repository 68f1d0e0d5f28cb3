"""Command line of the demo: ``python -m demo up APPLICATION`` and ``python -m demo down``."""

import argparse
import sys

from demo.phases import PhaseError, phase
from demo.stack import Demo
from localcloud.settings import SettingsError


def main() -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="run an application on the local cloud").add_argument("application")
    commands.add_parser("down", help="remove the local cloud with all that is in it")
    options = parser.parse_args()
    try:
        if options.command == "up":
            Demo(options.application).up()
        else:
            with phase("Removing the local cloud"):
                Demo("wordpress").stop_cloud("--base-images")
    except (PhaseError, SettingsError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
