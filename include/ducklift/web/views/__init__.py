"""What the pages show, as frozen dataclasses: everything is computed here, and a template only formats it.

Times are aware datetimes in UTC, spans are seconds (`_s`), sizes are bytes. Texts that come from data or from outside are made fit to be
shown already (`ducklift.web.views.texts`): control and direction marks are visible, long ones are cut with a marker. They are not escaped
for HTML: the templates do that. What a link needs is relative to the page's root, without a leading slash, and percent-quoted.
"""
