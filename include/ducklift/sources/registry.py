"""The source types by name. A type's module is imported when a pipeline file names it, not before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ducklift.sources.base import Source

SOURCE_TYPES: dict[str, str] = {
    "bucket_files": "ducklift.sources.bucket_files:BucketFilesSource",
    "python": "ducklift.sources.python_function:PythonSource",
    "sql_tables": "ducklift.sources.sql_tables:SqlTablesSource",
    "reddit": "ducklift.sources.reddit:RedditSource",
    "reddit_dump": "ducklift.sources.reddit_dump:RedditDumpSource",
    "rest_api": "ducklift.sources.rest_api:RestApiSource",
}


def source_class(type_name: str) -> type[Source]:
    """Return the class of a source type; raises ValueError that lists the known ones."""
    try:
        module_name, _, class_name = SOURCE_TYPES[type_name].partition(":")
    except KeyError:
        raise ValueError(f"{type_name!r} is not a source type; known are: {', '.join(sorted(SOURCE_TYPES))}") from None
    found: type[Source] = getattr(import_module(module_name), class_name)
    return found
