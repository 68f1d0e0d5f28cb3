"""Adds up what the suites of one run have left: ``results.py FOLDER`` with a JUnit file of each suite.

Ends with 1 where a test failed, or where there is no result at all.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree


def counts(path: Path) -> dict[str, int]:
    """How many tests of a suite passed, failed and were skipped."""
    [suite] = ElementTree.parse(path).getroot().iter("testsuite")
    tests, failed, skipped = (
        sum(int(suite.attrib[key]) for key in keys) for keys in (["tests"], ["failures", "errors"], ["skipped"])
    )
    return {"passed": tests - failed - skipped, "failed": failed, "skipped": skipped}


def main(folder: Path) -> int:
    """Print a line for each suite, and the sum as the last."""
    suites = {f"{path.stem}: ": counts(path) for path in sorted(folder.glob("*.xml"))}
    total = {key: sum(suite[key] for suite in suites.values()) for key in ("passed", "failed", "skipped")}
    for name, suite in {**suites, "": total}.items():
        print(name + ", ".join(f"{count} {key}" for key, count in suite.items()))
    return int(total["passed"] == 0 or total["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
