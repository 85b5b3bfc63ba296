"""The end of a program's log in plain words: without the stack traces of Java and Python."""

import re

_FRAME = re.compile(r"^\s+(at\s.+\(.*\)|\.\.\. \d+ (more|common frames omitted))\s*$")
_TRACEBACK = "Traceback (most recent call last):"
_FULL = ("No space left on device", "Disk quota exceeded", "NOT_ENOUGH_SPACE")


def plain_end(text: str, lines: int) -> str:
    """Return the last lines that say something."""
    kept: list[str] = []
    in_traceback = False
    for line in text.splitlines():
        if line.startswith(_TRACEBACK):
            in_traceback = True
        elif in_traceback and (not line.strip() or line.startswith(" ")):
            continue
        else:
            in_traceback = False
            if line.strip() and not _FRAME.match(line):
                kept.append(line)
    return "\n".join(kept[-lines:])


def speaks_of_a_full_disk(text: str) -> bool:
    """Whether a program says that it could not write."""
    return any(words in text for words in _FULL)
