"""Text from data, made safe to look at: a terminal obeys control characters, so they are shown instead."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

# C0 and C1 controls, line and paragraph separators, and the marks that turn the direction of text around.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# In a URL within a URL (`ducklake:postgresql://…`) no parser finds the password.
_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^@/\s]+@")
_SECRET_PARAMETER = re.compile(r"(?i)((?:token|password|secret|key)[^=&;\s]*=)[^&;\s]+")


def visible(text: str) -> str:
    """Return `text` with every character that a terminal would obey written as an escape."""
    return _OBEYED.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    # Four digits are also valid inside JSON strings, which pass here when JSON is shown on a terminal.
    return f"\\u{ord(character):04x}"


def without_secrets(url: str) -> str:
    """Return a URL fit to be shown: without password, and without the values of token-like parameters."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:***@{host}" if at and ":" in user else parts.netloc
    # Rebuilding drops the empty host of `file:///x` style URLs of unknown schemes; so only what changed is replaced.
    shown = url if netloc == parts.netloc else urlunsplit(parts._replace(netloc=netloc))
    return without_passwords(shown)


def without_passwords(text: str) -> str:
    """Return any text without the passwords of the URLs in it, and without the values of token-like parameters."""
    return _SECRET_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))
