"""Installations to try; the parts they are made of lie with the fault tests, runs in each mode with those of the history."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "history"))

from installations import installation, listed_source_known

__all__ = ["installation", "listed_source_known"]
