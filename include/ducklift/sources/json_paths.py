"""JSONPath, by jsonpath-ng: where in an answer the records, the next link or a total stand."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator

_Keys = tuple[str, ...]


class JsonPathSelector:
    """A compiled JSONPath. One that only names keys is followed by hand: that is the rule, and much quicker."""

    def __init__(self, text: str) -> None:
        from jsonpath_ng.exceptions import JSONPathError
        from jsonpath_ng.parser import parse

        try:
            self._path = parse(text)
        except (JSONPathError, RecursionError) as err:
            raise ValueError(f"{text!r} is not a JSONPath ({err}): write for example data.items, or $['odd.name'] for odd names") from None
        self._keys = _keys_of(self._path)

    def values(self, document: Any) -> list[Any]:
        """Return everything that the path finds, in the document's order; an empty list when it finds nothing."""
        if self._keys is None:
            return [found.value for found in self._path.find(document)]
        for key in self._keys:
            if not isinstance(document, dict) or key not in document:
                return []
            document = document[key]
        return [document]

    def first(self, document: Any) -> Any:
        """Return the first thing that the path finds; None when there is nothing."""
        return next(iter(self.values(document)), None)


@lru_cache(maxsize=512)
def selector(text: str) -> JsonPathSelector:
    """Return the compiled path; raises ValueError with an example when it is none."""
    return JsonPathSelector(text)


def _checked(text: str) -> str:
    selector(text)
    return text


JsonPath = Annotated[str, AfterValidator(_checked)]


def _keys_of(path: Any) -> _Keys | None:
    """Return the keys of a path that only names keys; None for any other."""
    from jsonpath_ng import Child, Fields, Root

    if isinstance(path, Root):
        return ()
    if isinstance(path, Fields):
        return path.fields if len(path.fields) == 1 and path.fields[0] != "*" else None
    if isinstance(path, Child):
        left, right = _keys_of(path.left), _keys_of(path.right)
        return None if left is None or right is None else (*left, *right)
    return None


def placed(document: Any, path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a JSON object with `value` at a dotted path; what is missing on the way is made."""
    made = dict(document or {})
    key, dot, rest = path.partition(".")
    made[key] = placed(made.get(key), rest, value) if dot else value
    return made
