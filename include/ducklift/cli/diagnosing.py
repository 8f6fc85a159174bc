"""`ducklift doctor`: what this installation uses, what it reaches, and what would go wrong."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import typer

from ducklift.cli.outcome import Json, print_json
from ducklift.cli.tabular import console, say
from ducklift.errors import EXIT_DONE, EXIT_RETRY
from ducklift.safe_text import without_secrets
from ducklift.settings import Settings, load_settings

if TYPE_CHECKING:
    from ducklift.diagnosis import Finding

_STYLES = {"ok": "", "note": "cyan", "wait": "yellow", "problem": "bold red"}


def doctor(as_json: Json = False) -> None:
    """Check settings, lake, warehouse and resources, and say what to mend.

    Writes and deletes two small objects under _ducklift/doctor/ in the lake, and nothing else. Exit code 0 when all is well.
    """
    from ducklift.diagnosis import diagnose, exit_code, versions

    settings = load_settings()
    if not as_json:
        _show_settings(settings)
    findings = []
    for finding in diagnose(settings):
        findings.append(finding)
        if not as_json:
            _show(finding)
    code = exit_code(findings)
    if as_json:
        state = {EXIT_DONE: "ok", EXIT_RETRY: "wait"}.get(code, "problem")
        found = [{name: value for name, value in asdict(finding).items() if name != "exit_code"} for finding in findings]
        print_json({"state": state, "settings": _settings(settings), "versions": versions(), "findings": found})
    else:
        say(console(), f"{'versions':<10} " + ", ".join(f"{name} {found or 'missing'}" for name, found in versions().items()))
    if code:
        raise typer.Exit(code)


def _show(finding: Finding) -> None:
    mark = finding.state.upper() if finding.state == "problem" else finding.state
    say(console(), f"{finding.area:<10} {mark:<7} {finding.text}", _STYLES[finding.state])


def _show_settings(settings: Settings) -> None:
    screen = console()
    for name, setting in _settings(settings).items():
        say(screen, f"{'settings':<10} {name:<15} {setting['value'] or 'not set'}  ({setting['origin']})")


def _settings(settings: Settings) -> dict[str, dict[str, str]]:
    """Return every setting's value, fit to be shown, and where it came from."""
    values = {each.name: getattr(settings, each.name) for each in fields(settings) if each.name in settings.origins}
    return {
        name: {"value": without_secrets(str(value)) if value is not None else "", "origin": settings.origins[name]}
        for name, value in values.items()
    }
