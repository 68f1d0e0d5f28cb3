# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a variable may hold, in Python and in words, and the sentence for one that does not.

Argument specs know types and choices; they know neither ranges nor patterns, and their messages do not say what is
accepted. A rule here is one variable: a test of its value and the words that complete "... is accepted".
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What one variable may hold.

    Attributes:
        name: The variable's name.
        test: Tells whether a value is accepted.
        accepted: What is accepted, in words.
        required: Whether it must be set, and not be empty.
        hidden: Whether its value must not be shown.
    """

    name: str
    test: Callable[[Any], bool]
    accepted: str
    required: bool = False
    hidden: bool = False

    def problem(self, value: Any, missing: bool) -> str | None:
        """Return the sentence on a value, or None when it is accepted."""
        if missing or (self.required and value in ("", None, [], {})):
            return f"{self.name} is not set: {self.accepted} is accepted." if self.required else None
        if self.test(value):
            return None
        if self.hidden:
            return f"{self.name} is set: {self.accepted} is accepted."
        # ansible-playbook takes name=value for a string, whatever it looks like.
        word = isinstance(value, str) and (value.isdigit() or value.lower() in ("true", "false", "yes", "no"))
        hint = f" (on the command line as JSON: -e '{{\"{self.name}\": {value.lower()}}}')" if word else ""
        return f"{self.name} is {value!r}: {self.accepted} is accepted{hint}."


def is_bool(value: Any) -> bool:
    """A yes or no, not a word for it."""
    return isinstance(value, bool)


def flag(name: str) -> Rule:
    """A rule for true or false."""
    return Rule(name, is_bool, "true or false")


def number(name: str, least: int, most: int, unit: str = "", *, also: int | None = None, whole: bool = True) -> Rule:
    """A rule for a number in a range; `also` is one value outside it with a meaning of its own."""
    kinds = int if whole else (int, float)

    def test(value: Any) -> bool:
        return isinstance(value, kinds) and not is_bool(value) and (least <= value <= most or value == also)

    words = f"a {'whole ' if whole else ''}number {f'of {unit} ' if unit else ''}from {least} to {most}"
    return Rule(name, test, f"{also}, or {words}," if also is not None else words)


def choice(name: str, *values: str) -> Rule:
    """A rule for one of a few words."""
    return Rule(name, lambda value: value in values, f"one of {', '.join(values)}")


def text(name: str, pattern: str, accepted: str, *, required: bool = False, empty: bool = False) -> Rule:
    """A rule for a string that matches a pattern as a whole; `empty` lets the empty string pass too."""
    compiled = re.compile(pattern)

    def test(value: Any) -> bool:
        return isinstance(value, str) and ((empty and value == "") or compiled.fullmatch(value) is not None)

    return Rule(name, test, f"{accepted}{', or nothing,' if empty else ''}", required)


def texts(name: str, pattern: str, accepted: str) -> Rule:
    """A rule for a list of strings."""
    compiled = re.compile(pattern)

    def test(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(v, str) and compiled.fullmatch(v) for v in value)

    return Rule(name, test, f"a list of {accepted}")


def ids(name: str, what: str, at_least: int = 1) -> Rule:
    """A rule for a list of ids, each of them once."""

    def test(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and len(value) >= at_least
            and all(isinstance(v, str) and v for v in value)
            and len(set(value)) == len(value)
        )

    return Rule(name, test, f"a list of {what}, each of them once,", required=True)


def cidrs(name: str) -> Rule:
    """A rule for a list of networks."""

    def test(value: Any) -> bool:
        if not isinstance(value, (list, tuple)) or not value:
            return False
        try:
            return all(isinstance(v, str) and "/" in v and ipaddress.ip_network(v) for v in value)
        except ValueError:
            return False

    return Rule(name, test, "a list of networks such as 0.0.0.0/0 or 203.0.113.0/24")


TAG_KEY = re.compile(r"[\w .:/=+@-]{1,128}")


def tags(name: str, reserved: tuple[str, ...] = ("aws:",)) -> Rule:
    """A rule for tags."""

    def test(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            isinstance(k, str)
            and isinstance(v, str)
            and TAG_KEY.fullmatch(k) is not None
            and not k.startswith(reserved)
            and len(v) <= 256
            for k, v in value.items()
        )

    words = " or ".join(f"'{prefix}'" for prefix in reserved)
    return Rule(name, test, f"a mapping of tags to strings, none beginning with {words},")


def mapping(name: str, keys: Iterable[str], accepted: str, required_keys: Iterable[str] = ()) -> Rule:
    """A rule for a mapping with known keys."""
    known, needed = set(keys), set(required_keys)

    def test(value: Any) -> bool:
        return isinstance(value, Mapping) and set(value) <= known and needed <= set(value)

    return Rule(name, test, accepted)


def unknown_names(names: Iterable[str], known: Iterable[str], prefixes: Iterable[str], whose: str) -> list[str]:
    """Return a sentence for each name that begins like ours and is none of ours."""
    known = sorted(set(known))
    problems = []
    for name in sorted(names):
        if name in known or not name.startswith(tuple(prefixes)):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"{near[0]} is meant, perhaps" if near else "its README lists the variables that are accepted"
        problems.append(f"{name} is no variable of {whose}: {hint}.")
    return problems


def check(rules: Iterable[Rule], values: Mapping[str, Any]) -> list[str]:
    """Return the sentences on all values, in the order of the rules."""
    problems = (rule.problem(values.get(rule.name), rule.name not in values) for rule in rules)
    return [problem for problem in problems if problem]
