"""Tables to sweep; their installations are those of the fault tests, their runs those of the history tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "history"))

from installations import installation, listed_source_known

__all__ = ["installation", "listed_source_known"]
