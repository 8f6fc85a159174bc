"""One post as Reddit's JSON shows it: about a hundred fields, with the oddities that real ones have."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

from ducklift.sandbox.posts import HOUR_S, Archive, Post

# Reddit's `created` is the creation time in a zone of the past, not in UTC.
CREATED_OFFSET_S = 8 * HOUR_S
SITE = "https://reddit.sandbox.example"
MEDIA_SITE = "https://media.sandbox.example"

# What every submission carries and the sandbox never varies.
CONSTANT_FIELDS: dict[str, Any] = {
    "approved_at_utc": None, "approved_by": None, "saved": False, "mod_reason_title": None, "gilded": 0, "clicked": False,
    "hidden": False, "pwls": 6, "wls": 6, "downs": 0, "top_awarded_type": None, "hide_score": False, "quarantine": False,
    "subreddit_type": "public", "total_awards_received": 0, "media_embed": {}, "secure_media_embed": {},
    "author_flair_background_color": None, "author_flair_template_id": None, "author_flair_css_class": None,
    "author_flair_text": None, "author_flair_text_color": None, "author_flair_type": "text", "author_flair_richtext": [],
    "author_premium": False, "author_patreon_flair": False, "author_is_blocked": False, "user_reports": [], "mod_reports": [],
    "mod_note": None, "mod_reason_by": None, "category": None, "is_meta": False, "is_original_content": False,
    "can_mod_post": False, "is_created_from_ads_ui": False, "gildings": {}, "content_categories": None, "banned_by": None,
    "banned_at_utc": None, "allow_live_comments": False, "likes": None, "suggested_sort": None, "view_count": None,
    "archived": False, "no_follow": True, "is_crosspostable": True, "pinned": False, "all_awardings": [], "awarders": [],
    "media_only": False, "can_gild": False, "treatment_tags": [], "visited": False, "removed_by": None, "num_reports": None,
    "removal_reason": None, "report_reasons": None, "discussion_type": None, "send_replies": True, "contest_mode": False,
    "parent_whitelist_status": "all_ads", "whitelist_status": "all_ads", "num_duplicates": 0,
}  # fmt: skip
BARE_LACKS = ("upvote_ratio", "spoiler", "author_fullname", "link_flair_text")


def render(post: Post, archive: Archive, now: float) -> dict[str, Any]:
    """Return the `data` of the post's `t3` thing as it stands at `now` (seconds since 1970)."""
    data = {**CONSTANT_FIELDS, **_texts(post), **_numbers(post, now), **_flags(post, now), **_media(post)}
    if post.crosspost_of and (parent := archive.find(post.crosspost_of, now)):
        data |= {
            "crosspost_parent": parent.name,
            "crosspost_parent_list": [render(parent, archive, now)],
            "url": SITE + permalink(parent),
            "domain": f"self.{parent.community.name}",
        }
    _apply_oddity(post, data)
    if post.deleted(now):
        _blank(post, data)
    return data


def permalink(post: Post) -> str:
    """Return the path of the post's page."""
    slug = re.sub(r"[^a-z0-9]+", "_", post.title.lower()).strip("_")[:50]
    return f"/r/{post.community.name}/comments/{post.id}/{slug}/"


def escape_strings(value: Any) -> Any:
    """Return the value with `&`, `<` and `>` in its strings as entities, as Reddit sends them without `raw_json=1`."""
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, list):
        return [escape_strings(item) for item in value]
    if isinstance(value, dict):
        return {key: escape_strings(item) for key, item in value.items()}
    return value


def selftext_html(text: str) -> str | None:
    """Return the text as the HTML that comes along with it; None for no text."""
    if not text:
        return None
    paragraphs = "\n\n".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))
    return f'<!-- SC_OFF --><div class="md">{paragraphs}\n</div><!-- SC_ON -->'


def _texts(post: Post) -> dict[str, Any]:
    community = post.community
    flair = post.flair
    return {
        "id": post.id,
        "name": post.name,
        "title": post.title,
        "author": post.author,
        "author_fullname": f"t2_{sum(ord(letter) * 31**place for place, letter in enumerate(post.author)) % 10**9:x}",
        "selftext": post.text,
        "selftext_html": selftext_html(post.text),
        "subreddit": community.name,
        "subreddit_name_prefixed": f"r/{community.name}",
        "subreddit_id": community.subreddit_id,
        "subreddit_subscribers": community.subscribers,
        "permalink": permalink(post),
        "link_flair_text": flair,
        "link_flair_type": "richtext" if flair else "text",
        "link_flair_richtext": [{"e": "text", "t": flair}] if flair else [],
        "link_flair_text_color": "dark" if flair else None,
        "link_flair_background_color": "#d7ecff" if flair else "",
        "link_flair_css_class": flair.lower().replace(" ", "-") if flair else None,
        "link_flair_template_id": f"5b0c{len(flair):04x}-0000-11ee-8000-000000000000" if flair else None,
    }


def _numbers(post: Post, now: float) -> dict[str, Any]:
    score = post.score(now)
    return {
        "created": post.created + CREATED_OFFSET_S,
        "created_utc": post.created,
        "edited": _edited(post, now),
        "score": score,
        "ups": score,
        "upvote_ratio": post.upvote_ratio,
        "num_comments": post.comments(now),
        "num_crossposts": int(post.serial % 7 == 0 and score > 50),
    }


def _edited(post: Post, now: float) -> bool | float:
    if post.edited_after_s is None or now < post.created + post.edited_after_s:
        return False
    # Very old edits carry no time at all.
    return True if post.serial % 9 == 0 else float(int(post.created + post.edited_after_s))


def _flags(post: Post, now: float) -> dict[str, Any]:
    return {
        "is_self": post.form in ("self", "poll"),
        "is_video": post.form == "video",
        "is_reddit_media_domain": post.form in ("image", "gallery", "video"),
        "is_robot_indexable": True,
        "over_18": post.over_18,
        "spoiler": post.spoiler,
        "locked": post.locked,
        "stickied": post.stickied(now),
        "distinguished": "moderator" if post.sticky else None,
        "removed_by_category": None,
    }


def _media(post: Post) -> dict[str, Any]:
    still = {"thumbnail_height": 105, "thumbnail_width": 140, "thumbnail": f"{MEDIA_SITE}/thumbs/{post.id}.jpg"}
    plain = {"media": None, "secure_media": None, "thumbnail_height": None, "thumbnail_width": None, "thumbnail": "default"}
    if post.form == "link":
        url = f"https://{post.link_host}{permalink(post).rsplit('/', 2)[0]}"
        return plain | {"url": url, "url_overridden_by_dest": url, "domain": post.link_host, "post_hint": "link"}
    if post.form == "image":
        url = f"{MEDIA_SITE}/{post.id}.png"
        return (
            plain
            | still
            | {"url": url, "url_overridden_by_dest": url, "domain": "media.sandbox.example", "post_hint": "image"}
            | _preview(url)
        )
    if post.form == "video":
        return plain | still | _video(post)
    if post.form == "gallery":
        return plain | still | _gallery(post)
    url = SITE + permalink(post)
    own = plain | {"url": url, "domain": f"self.{post.community.name}", "thumbnail": "self"}
    return own | {"poll_data": _poll(post)} if post.form == "poll" else own


def _preview(url: str) -> dict[str, Any]:
    source = {"url": url, "width": 1200, "height": 900}
    return {"preview": {"images": [{"source": source, "resolutions": [], "variants": {}, "id": "sandbox"}], "enabled": True}}


def _video(post: Post) -> dict[str, Any]:
    url = f"{MEDIA_SITE}/video/{post.id}"
    media = {
        "reddit_video": {"fallback_url": f"{url}/720.mp4", "height": 720, "width": 1280, "duration": 9 + post.serial % 80, "is_gif": False}
    }
    return {
        "url": url, "url_overridden_by_dest": url, "domain": "media.sandbox.example", "post_hint": "hosted:video",
        "media": media, "secure_media": media,
    }  # fmt: skip


def _gallery(post: Post) -> dict[str, Any]:
    items = [f"{post.id}{letter}" for letter in "abcd"[: 2 + post.serial % 3]]
    return {
        "url": f"{SITE}/gallery/{post.id}", "url_overridden_by_dest": f"{SITE}/gallery/{post.id}", "domain": "reddit.sandbox.example",
        "is_gallery": True,
        "gallery_data": {"items": [{"media_id": item, "id": number} for number, item in enumerate(items, start=post.serial)]},
        "media_metadata": {item: _image_metadata(item) for item in items},
    }  # fmt: skip


def _image_metadata(item: str) -> dict[str, Any]:
    source = {"u": f"{MEDIA_SITE}/{item}.png", "x": 1200, "y": 900}
    return {"status": "valid", "e": "Image", "m": "image/png", "id": item, "s": source}


def _poll(post: Post) -> dict[str, Any]:
    options = [{"id": str(post.serial * 10 + number), "text": text} for number, text in enumerate(("Yes", "No", "Show me the results"))]
    ends_ms = int((post.created + 72 * HOUR_S) * 1000)
    return {"options": options, "total_vote_count": post.final_score * 3, "voting_end_timestamp": ends_ms, "user_selection": None}


def _apply_oddity(post: Post, data: dict[str, Any]) -> None:
    if post.oddity == "promoted":
        for field in ("subreddit", "subreddit_id", "subreddit_name_prefixed", "subreddit_subscribers"):
            del data[field]
        data |= {"promoted": True, "is_created_from_ads_ui": True, "call_to_action": "Learn More"}
    elif post.oddity == "null_author":
        data["author"] = None
    elif post.oddity == "author_gone":
        data["author"] = "[deleted]"
        del data["author_fullname"]
    elif post.oddity == "bare":
        for field in BARE_LACKS:
            del data[field]
    elif post.oddity == "gallery_lost":
        data |= {"gallery_data": None, "media_metadata": None}


def _blank(post: Post, data: dict[str, Any]) -> None:
    by_author = post.deleted_by == "deleted"
    text = "[deleted]" if by_author else "[removed]"
    page = SITE + permalink(post)
    data.pop("author_fullname", None)
    for field in (
        "url_overridden_by_dest",
        "preview",
        "gallery_data",
        "media_metadata",
        "poll_data",
        "crosspost_parent",
        "crosspost_parent_list",
    ):
        data.pop(field, None)
    data |= {
        "author": "[deleted]", "selftext": text, "selftext_html": selftext_html(text), "removed_by_category": post.deleted_by,
        "url": page, "media": None, "secure_media": None, "thumbnail": "default", "is_robot_indexable": False, "is_crosspostable": False,
    }  # fmt: skip
    if by_author:
        data["title"] = "[deleted by user]"


def utc_text(moment: float) -> str:
    """Return a virtual time as text for people."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
