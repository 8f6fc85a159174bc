"""Installations to break."""

from installations import installation, listed_source_known

__all__ = ["installation", "listed_source_known"]
