"""Adds up what the suites of one run have left: ``results.py FOLDER`` with JUnit files of them, or ``results.py FILE``.

What failed is told again, since it stands far above by then. Ends with 1 where a test failed, or where there is no
result at all.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

# Failed tests of a suite, and characters of each.
SHOWN = 10
SAID = 600


def counts(path: Path) -> dict[str, int]:
    """How many tests of a suite passed, failed and were skipped."""
    [suite] = ElementTree.parse(path).getroot().iter("testsuite")
    tests, failed, skipped = (
        sum(int(suite.attrib[key]) for key in keys) for keys in (["tests"], ["failures", "errors"], ["skipped"])
    )
    return {"passed": tests - failed - skipped, "failed": failed, "skipped": skipped}


def failures(path: Path) -> Iterator[str]:
    """A line for each test of a suite that failed, with the end of what it said."""
    for test in ElementTree.parse(path).getroot().iter("testcase"):
        for outcome in (*test.iter("failure"), *test.iter("error")):
            said = " ".join(f"{outcome.get('message', '')} {outcome.text or ''}".split())
            yield f"{path.stem}: {test.get('classname')}.{test.get('name')}: {said[-SAID:]}"


def main(results: Path) -> int:
    """Print the first that failed of each suite, a line for each suite, and the sum as the last."""
    paths = sorted(results.glob("*.xml")) if results.is_dir() else [results]
    for path in paths:
        for line in itertools.islice(failures(path), SHOWN):
            print(line)
    suites = {f"{path.stem}: ": counts(path) for path in paths}
    total = {key: sum(suite[key] for suite in suites.values()) for key in ("passed", "failed", "skipped")}
    for name, suite in {**suites, "": total}.items():
        print(name + ", ".join(f"{count} {key}" for key, count in suite.items()))
    return int(total["passed"] == 0 or total["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
