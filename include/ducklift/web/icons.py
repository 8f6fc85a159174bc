"""The page's own symbols, drawn on a field of 16 by 16. Each state has a shape of its own, so that colour is never the only sign."""

from __future__ import annotations

from markupsafe import Markup

ICONS: dict[str, Markup] = {
    "up": Markup('<path d="M8 13V3.5M4 7l4-4 4 4"/>'),
    "down": Markup('<path d="M8 3v9.5M4 9l4 4 4-4"/>'),
    "external": Markup('<path d="M6.5 3H3v10h10V9.5M9.5 2.5h4v4M13 3L7.5 8.5"/>'),
    "download": Markup('<path d="M8 2v8M4.7 7L8 10.3 11.3 7M2.5 13.5h11"/>'),
    "lake": Markup(
        '<path d="M1.5 6.5c1.6-1.3 2.7-1.3 4.3 0s2.8 1.3 4.4 0 2.7-1.3 4.3 0M1.5 11c1.6-1.3 2.7-1.3 4.3 0s2.8 1.3 4.4 0 2.7-1.3 4.3 0"/>'
    ),
    "broken": Markup('<path d="M3 8.2V2h6l4 4v2.2L10.5 7 8 9 5.5 7zM3 11.5L5.5 10 8 12l2.5-2 2.5 1.5V14H3z"/>'),
    "hourglass": Markup('<path d="M4 2h8M4 14h8M5 2c0 3.5 3 4 3 6s-3 2.5-3 6M11 2c0 3.5-3 4-3 6s3 2.5 3 6"/>'),
    "flag": Markup('<path d="M4 14V2.5M4 3h8.5l-2 2.8 2 2.7H4"/>'),
    "warning": Markup('<path d="M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.1"/>'),
    "gap": Markup('<path d="M1.5 8H5M11 8h3.5M5 5v6M11 5v6"/>'),
    "replaced": Markup('<path d="M3 6.5a5.2 5.2 0 0 1 9.7-1M13 2.5v3.2H9.8M13 9.5a5.2 5.2 0 0 1-9.7 1M3 13.5v-3.2h3.2"/>'),
    "rewind": Markup('<path d="M7.5 4L2.5 8l5 4zM13.5 4l-5 4 5 4z"/>'),
    "broom": Markup('<path d="M13.5 2.5l-5 5M6 6.5l3.5 3.5c-1 3-3.5 4-7 3.5C3 10 3.5 7.5 6 6.5z"/>'),
    "refresh": Markup('<path d="M13 8a5 5 0 1 1-1.5-3.6M13.2 2v3h-3"/>'),
    "play": Markup('<path d="M4.5 2.5v11l9-5.5z"/>'),
    "search": Markup('<circle cx="7" cy="7" r="4.5"/><path d="M10.5 10.5L14 14"/>'),
    "check": Markup('<circle cx="8" cy="8" r="6.2"/><path d="M5.2 8.2l2 2 3.6-4.2"/>'),
    "cross": Markup('<path d="M5.2 1.8h5.6l3.4 3.4v5.6l-3.4 3.4H5.2l-3.4-3.4V5.2zM6 6l4 4M10 6l-4 4"/>'),
    "clock": Markup('<circle cx="8" cy="8" r="6.2"/><path d="M8 4.5V8l2.5 1.7"/>'),
    "dot": Markup('<circle cx="8" cy="8" r="6.2"/><path d="M5.5 8h5"/>'),
    "info": Markup('<circle cx="8" cy="8" r="6.2"/><path d="M8 7.5V11M8 5v.1"/>'),
    "table": Markup('<path d="M2 3h12v10H2zM2 6.5h12M7 6.5V13"/>'),
    "lock": Markup('<path d="M3.5 7h9v6.5h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2"/>'),
}
