"""Lakes to look at; their installations are those of the fault tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from installations import installation, listed_source_known

__all__ = ["installation", "listed_source_known"]
