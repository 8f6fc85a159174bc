"""The Lake page where people meet it: in a standing Airflow, in its frame, from the login to a run that is watched."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Frame, Page, expect

from ducklift.orchestration.environment import ADMIN
from ducklift.orchestration.standing import Standing
from kept_ports import kept_ports

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.needs_program("chromium"), pytest.mark.timeout(3600)]

REPOSITORY = Path(__file__).parents[2]
# A folder to keep the pictures in that the README shows: LAKE_PICTURES=docs/images.
PICTURES = os.environ.get("LAKE_PICTURES")
SOON_MS, GREEN_WITHIN_MS = 180_000, 1_200_000
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    project = tmp_path_factory.mktemp("standing") / "project"
    for folder in ("dags", "include/pipelines", "plugins"):
        shutil.copytree(REPOSITORY / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    made = Standing(project, lambda _: None)
    with kept_ports(1) as (port,):
        made.up(port)
        yield made
        made.down()


def lake_of(page: Page) -> Frame:
    """Return the frame in which Airflow shows the page."""
    page.wait_for_selector("iframe[title=Lake]", timeout=SOON_MS)
    frame = page.query_selector("iframe[title=Lake]").content_frame()
    frame.wait_for_selector("h1", state="attached", timeout=SOON_MS)
    return frame


def log_in(page: Page, standing: Standing) -> None:
    page.goto(standing.url, timeout=SOON_MS)
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password", exact=True).fill(standing.airflow.secrets().admin_password)
    page.get_by_role("button", name="Sign in").click()
    # The way back from the login would break off whatever is asked for meanwhile.
    expect(page.get_by_role("link", name="Lake").first).to_be_visible(timeout=SOON_MS)


def trigger_by_the_form(page: Page, standing: Standing, dag: str) -> None:
    page.goto(f"{standing.url}/dags/{dag}", timeout=SOON_MS)
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").last.click()
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=SOON_MS)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/lake-{name}.png")


def faults(frame: Frame, axe: str) -> list[str]:
    frame.evaluate(axe)
    found = frame.evaluate(f"axe.run(document, {RULES})")["violations"]
    sideways = frame.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return [*(f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found), *(["it scrolls sideways"] if sideways else [])]


def test_a_person_triggers_reddit_and_watches_its_table_come_follows_the_links_and_filters(standing, chromium, axe):
    context = chromium.new_context(viewport=WIDE, color_scheme="light")
    context.set_default_timeout(SOON_MS)
    page = context.new_page()
    log_in(page, standing)
    page.get_by_role("link", name="Lake").first.click(timeout=SOON_MS)
    expect(page).to_have_url(re.compile("/plugin/lake"), timeout=SOON_MS)
    lake_of(page)

    trigger_by_the_form(page, standing, "reddit")
    page.get_by_role("link", name="Lake").first.click()
    frame = lake_of(page)
    row = frame.locator("tr", has_text="reddit.posts")
    # Nobody reloads anything: the page itself looks again.
    expect(row.locator("[data-label=Rows]")).to_have_text(re.compile(r"[1-9][\d,]*"), timeout=GREEN_WITHIN_MS)
    expect(row.locator(".badge")).to_have_text(re.compile("fresh|no target"), timeout=SOON_MS)
    assert faults(frame, axe) == []
    picture(page, "overview-light")

    follow_the_links(page, frame)
    filter_the_tables(page)
    look_in_the_dark_and_on_a_telephone(page, axe)
    context.close()


def follow_the_links(page: Page, frame: Frame) -> None:
    frame.get_by_role("link", name="reddit.posts").click()
    expect(frame.locator("h1")).to_have_text("reddit.posts", timeout=SOON_MS)
    # Airflow's own address follows, so that this page can be shared.
    expect(page).to_have_url(re.compile(r"/plugin/lake/.*ducklift/tables/reddit\.posts$"), timeout=SOON_MS)
    # One load is no chart yet; the page follows the run.
    expect(frame.locator(".u-over")).to_be_visible(timeout=GREEN_WITHIN_MS)
    picture(page, "table-light")
    for tab, heading in {
        "Columns": "Columns",
        "Preview": "Newest rows",
        "Quarantine": "Quarantine",
        "Lineage": "From source file to rows",
    }.items():
        frame.locator("nav.tabs").get_by_role("link", name=tab).click()
        expect(frame.locator("h2", has_text=heading)).to_be_visible(timeout=SOON_MS)
    frame.locator("nav.tabs").get_by_role("link", name="Loads").click()
    load = frame.locator("#loads ~ * tbody tr, section:has(#loads) tbody tr", has_text="loaded").first
    load.locator("td:nth-child(2) a").click()
    expect(frame.locator("#flow")).to_be_visible(timeout=SOON_MS)
    picture(page, "load-light")
    with page.expect_download() as download:
        frame.locator("section:has(#files) tbody a").first.click()
    assert Path(download.value.path()).stat().st_size > 0
    frame.locator("a[data-airflow]", has_text="run").first.click()
    expect(page).to_have_url(re.compile("/dags/reddit/runs/"), timeout=SOON_MS)
    expect(page.locator("iframe[title=Lake]")).to_have_count(0, timeout=SOON_MS)


def filter_the_tables(page: Page) -> None:
    page.get_by_role("link", name="Lake").first.click()
    frame = lake_of(page)
    frame.fill("#search", "comments")
    frame.get_by_role("button", name="Filter").click()
    expect(frame.locator("table.tables tbody tr", has_text="reddit.posts")).to_have_count(0, timeout=SOON_MS)
    frame.goto(frame.url.partition("?")[0])


def look_in_the_dark_and_on_a_telephone(page: Page, axe: str) -> None:
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    frame = lake_of(page)
    for place, name in {"": "overview", "tables/reddit.posts": "table"}.items():
        frame.goto(f"{frame.url.partition('/ducklift/')[0]}/ducklift/{place}")
        assert frame.evaluate("getComputedStyle(document.body).colorScheme || document.documentElement.dataset.theme") == "dark"
        assert faults(frame, axe) == []
        picture(page, f"{name}-dark")
        page.set_viewport_size(NARROW)
        assert faults(frame, axe) == []
        picture(page, f"{name}-narrow")
        page.set_viewport_size(WIDE)
    page.evaluate("localStorage.setItem('theme', 'light')")


def test_the_tab_of_a_dag_shows_its_tables(standing, chromium):
    page = chromium.new_context(viewport=WIDE).new_page()
    page.set_default_timeout(SOON_MS)
    log_in(page, standing)

    page.goto(f"{standing.url}/dags/reddit/plugin/lake-of-dag", timeout=SOON_MS)
    # Without scripts the tab does not look again by itself, and a busy machine may take long for the first reading.
    for _ in range(20):
        if lake_of(page).locator("th", has_text="reddit.posts").count():
            break
        page.reload(timeout=SOON_MS)

    expect(lake_of(page).locator("th", has_text="reddit.posts")).to_be_visible(timeout=SOON_MS)
