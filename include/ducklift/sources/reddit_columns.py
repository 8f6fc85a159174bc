"""The typed columns of `reddit.posts` and `reddit.comments`: what people query. All the rest stays in the `raw` column."""

from __future__ import annotations

from ducklift.sources.base import TableDefaults
from ducklift.specs import ColumnSpec

# `edited` is false, true (edited in Reddit's first years) or the moment of the edit; both meanings are kept, in two columns.
_EDITED_AT = ColumnSpec.model_validate({"name": "edited_at", "from": "edited", "type": "timestamptz", "null_if": (True, False)})
_WAS_EDITED = ColumnSpec.model_validate({"name": "was_edited", "from": "edited", "type": "boolean"})
# `created` is not UTC: never use it.
_CREATED_AT = ColumnSpec.model_validate({"name": "created_at", "from": "created_utc", "type": "timestamptz", "nullable": False})
_FLAIR = ColumnSpec.model_validate({"name": "flair", "from": "link_flair_text", "type": "varchar"})


def _columns(type_: str, *names: str) -> tuple[ColumnSpec, ...]:
    return tuple(ColumnSpec(name=name, type=type_) for name in names)


POSTS = TableDefaults(
    primary_key=("name",),
    record_column="raw",
    columns=(
        ColumnSpec(name="name", type="varchar", nullable=False),
        *_columns("varchar", "id", "subreddit", "title", "author", "selftext", "url", "permalink", "domain"),
        _FLAIR,
        *_columns("bigint", "score"),
        *_columns("double", "upvote_ratio"),
        *_columns("bigint", "num_comments", "num_crossposts", "total_awards_received", "gilded", "subreddit_subscribers"),
        _CREATED_AT,
        _EDITED_AT,
        _WAS_EDITED,
        *_columns("boolean", "over_18", "spoiler", "is_self", "is_video", "is_gallery", "is_original_content"),
        *_columns("boolean", "locked", "stickied", "pinned", "archived", "contest_mode", "quarantine"),
        *_columns("varchar", "removed_by_category", "crosspost_parent", "post_hint", "thumbnail", "distinguished", "suggested_sort"),
        *_columns("varchar", "author_fullname", "author_flair_text", "subreddit_id", "subreddit_type", "link_flair_template_id"),
    ),
)

COMMENTS = TableDefaults(
    table="comments",
    primary_key=("name",),
    record_column="raw",
    columns=(
        ColumnSpec(name="name", type="varchar", nullable=False),
        *_columns("varchar", "id", "link_id", "parent_id"),
        *_columns("bigint", "depth"),
        *_columns("varchar", "subreddit", "author", "body", "permalink"),
        *_columns("bigint", "score", "ups", "controversiality", "gilded", "total_awards_received"),
        _CREATED_AT,
        _EDITED_AT,
        _WAS_EDITED,
        *_columns("boolean", "is_submitter", "stickied", "locked", "score_hidden", "archived", "collapsed"),
        *_columns("varchar", "distinguished", "collapsed_reason", "author_fullname", "author_flair_text", "subreddit_id"),
    ),
)
