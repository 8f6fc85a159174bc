"""Paths of files in a bucket: patterns, what folders tell, and names that are not safe to carry on."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

_WILD = re.compile(r"[*?\[{]")
_ONE_CHARACTER = re.compile(r"\[([*?\[{])\]")
_HIVE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62})=(.*)", re.DOTALL)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_LONGEST = 1024
_CHOICES = 100  # of one pattern, after its braces are written out


def check_path(path: str) -> str:
    """Return a path or pattern; raises ValueError when it could lead out of its bucket or cannot be a key."""
    path = path.lstrip("/")
    if not path or len(path.encode("utf-8", "replace")) > _LONGEST:
        raise ValueError(f"a path has 1 to {_LONGEST} bytes, for example sales/*.csv")
    if is_hostile(path):
        raise ValueError("a path has no '..', no empty part and no control characters; write for example sales/*.csv")
    if len(_written_out(path)) > _CHOICES:
        raise ValueError(f"a pattern stands for {_CHOICES} alternatives at most")
    return path


def is_hostile(key: str) -> bool:
    """Return whether a key could lead somewhere else as a path, or be shown as something else than it is."""
    return any(part in ("", ".", "..") for part in key.split("/")) or not key.isprintable()


def is_pattern(path: str) -> bool:
    """Return whether a path may match several keys."""
    return bool(_WILD.search(path))


def pattern_of(key: str) -> str:
    """Return the pattern that matches this key alone, also where it has `*`, `?`, `[` or `{` in its name."""
    return _WILD.sub(r"[\g<0>]", key)


def only_key_of(path: str) -> str | None:
    """Return the one key that a path can match, as `pattern_of` writes it or plain; None for a pattern of several."""
    key = _ONE_CHARACTER.sub(r"\g<1>", path)
    return key if pattern_of(key) == path else None


def prefix_of(pattern: str) -> str:
    """Return the folder that every match lies in, with its slash, or an empty text."""
    wild = _WILD.search(pattern)
    return pattern[: pattern.rfind("/", 0, wild.start() if wild else len(pattern)) + 1]


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a key matches: `*` and `?` within a name, `**` over any folders, `[ab]`, `{one,other}`."""
    compiled = re.compile("|".join(_regex(alternative) for alternative in _written_out(pattern)), re.DOTALL)
    return lambda key: compiled.fullmatch(key) is not None


def hive_values(key: str) -> dict[str, str | None]:
    """Return what folders such as `day=2026-01-01` tell, by name; Hive's word for no value is None."""
    found = {}
    for part in key.split("/")[:-1]:
        if match := _HIVE.fullmatch(part):
            value = unquote(match[2])
            found[match[1]] = None if value == _NO_VALUE else value
    return found


def _written_out(pattern: str) -> list[str]:
    found: list[str] = []
    waiting = [pattern]
    while waiting and len(found) + len(waiting) <= _CHOICES:
        current = waiting.pop()
        braces = re.search(r"(?<!\[)\{([^{}]*)\}", current)
        if braces is None:
            found.append(current)
        else:
            waiting += [current[: braces.start()] + choice + current[braces.end() :] for choice in braces[1].split(",")]
    return found + waiting


def _regex(pattern: str) -> str:
    def translated(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("["):
            inside = text[1:-1].replace("\\", r"\\").replace("[", r"\[")
            return f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside}]"
        return {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(text) or re.escape(text)

    return re.sub(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|.", translated, pattern, flags=re.DOTALL)
