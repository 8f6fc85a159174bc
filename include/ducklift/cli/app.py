"""The command line with all its verbs."""

from __future__ import annotations

from ducklift.cli.verbs import application

app = application()
