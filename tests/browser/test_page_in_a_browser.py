"""The Lake page in a real browser, before a reader whose every answer is filled: what it looks like, what it allows, what it runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from filled_views import HOSTILE, MOMENT, FilledReader
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from ducklift.web.pages import TABS
from ducklift.web.views.overview import OverviewView
from ducklift.web.views.queries import Pages

pytestmark = pytest.mark.needs_program("chromium")

PAGES = ["/", "/lake", "/tables/a.b/loads/l1", "/tables/no.such", "/tables/a.b", *(f"/tables/a.b/{tab}" for tab in TABS[1:])]
NARROW, WIDE = {"width": 360, "height": 780}, {"width": 1440, "height": 900}
LOOKS = [("light", WIDE), ("dark", WIDE), ("light", NARROW), ("dark", NARROW)]
# A page by itself has no landmark but its own; best practices are asked for beside the levels A and AA.
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"


FOCUSED = "(one => [one.textContent.trim() || one.name, one.tagName, getComputedStyle(one).outlineStyle])(document.activeElement)"


class Words(FilledReader):
    """A reader of plain words; what has to be seen differently is filled differently."""

    def __init__(self, **changes):
        super().__init__("some words")
        self.changes = changes

    def overview(self, query) -> OverviewView:
        return replace(super().overview(query), **self.changes)

    def table(self, name, query):
        if name == "no.such":
            return None
        view = super().table(name, query)
        growth = [replace(view.growth[0], at=MOMENT + timedelta(hours=hour), loaded=hour * 10, fresh_until=None) for hour in range(24)]
        return replace(view, growth=tuple(growth))


def violations(page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate(f"axe.run(document, {RULES})")["violations"]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(("scheme", "viewport"), LOOKS)
def test_axe_finds_nothing_and_no_page_scrolls_sideways(serve, open_page, axe, scheme, viewport):
    root = serve(Words(), airflow_root="/")
    watched = open_page(color_scheme=scheme, viewport=viewport)

    for path in PAGES:
        watched.page.goto(root + path)
        watched.wrong[:] = [text for text in watched.wrong if "404 (Not Found)" not in text]  # of the one that is missing

        assert (path, violations(watched.page, axe)) == (path, [])
        assert (path, watched.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")) == (path, True)


def test_hostile_text_in_every_field_runs_nothing(serve, open_page):
    root = serve(FilledReader(HOSTILE), airflow_root="/")
    watched = open_page(viewport=NARROW)

    for path in PAGES:
        watched.page.goto(root + path)
        watched.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        watched.page.hover("h1, h2 >> nth=0", force=True)

        assert (
            watched.page.evaluate(
                "document.querySelectorAll('main script, main img:not([src*=charts]), main style, [onload], [onerror]').length"
            )
            == 0
        )
        assert watched.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_colours_follow_airflow_at_once_and_the_system_without_it(serve, open_page):
    root = serve(Words())
    watched = open_page(color_scheme="light")
    page = watched.page
    airflow = page.context.new_page()
    for one in (page, airflow):
        one.goto(f"{root}/tables/a.b")

    def background() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    def chosen(mode: str) -> str:
        airflow.evaluate(f"localStorage.setItem('theme', '{mode}')")
        page.wait_for_function("mode => (document.documentElement.dataset.theme ?? 'system') === mode", arg=mode)
        return background()

    light = background()
    dark = chosen("dark")
    assert dark != light
    page.reload()
    assert background() == dark
    assert chosen("light") == light
    page.emulate_media(color_scheme="dark")
    assert background() == light
    assert chosen("system") == dark


def test_without_scripts_everything_is_read_searched_sorted_and_turned(serve, open_page):
    page = open_page(java_script_enabled=False).page
    page.goto(serve(Words(datasets=("one", "two"), pages=Pages(1, 3, 250, 1))))

    page.fill("#search", "post")
    page.select_option("#dataset", "two")
    page.click("button:has-text('Filter')")
    assert page.url.endswith("?search=post&dataset=two&pipeline=")
    page.click("th >> text=Rows")
    assert "search=post&dataset=two&sort=rows" in page.url
    assert page.locator("th[aria-sort=descending]").inner_text() == "Rows"
    page.click("a[rel=next]")
    assert page.url.endswith("&page=2")
    page.click("tbody th a >> nth=0")
    assert page.locator("nav.tabs a[aria-current=page]").inner_text().startswith("Loads")
    assert page.locator("figure.chart > svg").first.is_visible()
    page.click("nav.tabs >> text=Columns")
    assert page.locator("h2#columns").is_visible()
    assert page.locator(".needs-script:visible").count() == 0


def test_a_keyboard_reaches_the_content_first_and_always_shows_where_it_is(serve, open_page):
    page = open_page().page
    page.goto(serve(Words()))

    page.keyboard.press("Tab")
    assert page.locator(".skip").evaluate("one => document.activeElement === one && one.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    assert {"search", "Filter", "Rows", "some words"} <= {name for name, *_ in seen}
    assert {outline for _, tag, outline in seen if tag != "BODY"} == {"solid"}


def test_a_page_that_is_left_open_shows_what_is_new_without_being_loaded_again(serve, open_page):
    reader = Words()
    page = open_page().page
    page.goto(serve(reader))
    page.evaluate("window.mine = true")
    page.evaluate("document.querySelector('details')?.setAttribute('open', '')")
    reader.text = "other words"

    page.click("text=Refresh")

    page.wait_for_selector("main >> text=other words")
    assert page.evaluate("window.mine && document.activeElement.textContent === 'Refresh'")


def test_a_page_that_is_being_read_asks_again_soon(serve, open_page):
    reader = Words()
    read = reader.overview(None).read
    reader.changes = {"read": replace(read, at=None, reading=True)}
    page = open_page().page
    page.goto(serve(reader))
    assert page.locator(".age [role=status]").inner_text() == "Reading the lake …"

    reader.changes = {"read": replace(read, reading=False)}

    page.wait_for_selector("text=Read from the lake", timeout=10_000)


def test_the_chart_is_zoomed_by_dragging_and_double_clicking(serve, open_page):
    page = open_page().page
    page.goto(serve(Words()) + "/tables/a.b")
    over = page.locator(".u-over")
    box = over.bounding_box()

    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 50, steps=4)
    page.mouse.up()
    page.wait_for_selector("figure[data-zoomed]")
    over.dblclick()
    page.wait_for_selector("figure[data-zoomed]", state="detached")
    assert page.locator("figure.chart > svg").first.is_hidden()


def test_inside_airflow_s_frame_a_run_opens_in_airflow_itself(open_page):
    """Airflow shows the page in this frame: it may not navigate the window, whose router follows the history."""
    from serving import served
    from visitors import anybody

    from ducklift.web.app import create_app

    frame = (
        '<iframe sandbox="allow-scripts allow-same-origin allow-forms allow-downloads" src="/lake/tables/a.b" width="1200" height="800">'
    )
    script = "<script>addEventListener('popstate', () => { window.went = location.pathname })</script>"
    outer = f"<title>o</title><link rel=icon href=data:,>{script}{frame}"
    app = create_app(anybody, Words, airflow_root="/air/")
    watched = open_page()
    page = watched.page

    with served(Starlette(routes=[Route("/", lambda _: HTMLResponse(outer)), Mount("/lake", app)])) as root:
        page.goto(root)
        inner = page.frame_locator("iframe")
        inner.locator("a[data-airflow] >> text=log").first.click()

        page.wait_for_function("window.went")
        assert page.evaluate("window.went").startswith("/air/dags/some%20words/runs/some%20words/tasks/some%20words")
        assert inner.locator("h1").inner_text() == "some words"
    watched.wrong.clear()  # Chromium warns of such a frame
