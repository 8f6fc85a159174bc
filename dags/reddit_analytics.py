"""What the posts of a day look like: five stored values, one partition a day, made whenever `reddit.posts` was loaded.

**A run** takes the day of the newest post that the triggering loads brought, or the day in the form: `top_posts` (SQL to Arrow), then
`subreddit_scores` (pandas), `engagement` (a NumPy matrix), `summary` (a dictionary) and `engagement_chart` (a PNG). Each is stored by its
type, as a new version of that day, under `assets/` in the lake: `ducklift asset list`, `ducklift query "from asset('top_posts')"`.

**A re-run** of a day writes new versions and makes them current; the earlier ones stay.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, Param

from ducklift.assets import AssetIn, daily
from ducklift.orchestration.dag import WAREHOUSE_POOL
from ducklift.orchestration.lake_asset import lake_asset, newest_cursor

DAYS = daily("2005-06-23")  # the day of Reddit's first post
POSTS = """
    SELECT subreddit, name, title, author, score, num_comments, upvote_ratio, created_at FROM reddit.posts
    WHERE created_at >= CAST($partition_key AS TIMESTAMPTZ) AND created_at < CAST($partition_key AS TIMESTAMPTZ) + INTERVAL 1 DAY
    QUALIFY row_number() OVER (PARTITION BY subreddit ORDER BY score DESC, name) <= 10 ORDER BY subreddit, score DESC, name
"""
POSTS_ASSET = Asset(name="reddit.posts", uri="x-ducklift://reddit/posts")
FORM = {"day": Param(None, type=["null", "string"], format="date", description="Which day; empty: that of the newest post.")}


def day_of(context: Any) -> date:
    """Return the day of the form, of the newest post that was loaded, or yesterday."""
    chosen = context["params"].get("day")
    return date.fromisoformat(chosen) if chosen else (newest_cursor(context) or datetime.now(UTC) - timedelta(days=1)).date()


DAILY = {"partitions": DAYS, "partition_for": day_of, "group": "reddit"}

with DAG(
    "reddit_analytics", schedule=[POSTS_ASSET], start_date=datetime(2020, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1,
    tags=["reddit"], params=FORM, doc_md=__doc__, default_args={"retries": 2},
):  # fmt: skip

    @lake_asset(ins={"posts": AssetIn(input_manager_key="warehouse", metadata={"query": POSTS})}, pool=WAREHOUSE_POOL, **DAILY)
    def top_posts(posts: pa.Table) -> pa.Table:  # noqa: F821 — the library is imported when the value is loaded
        """The ten best posts of each subreddit on that day."""
        return posts

    @lake_asset(**DAILY)
    def subreddit_scores(top_posts: pd.DataFrame) -> pd.DataFrame:  # noqa: F821
        """Counts and averages of each subreddit."""
        grouped = top_posts.groupby("subreddit", as_index=False)
        return grouped.agg(posts=("name", "count"), best=("score", "max"), comments=("num_comments", "sum"), liked=("upvote_ratio", "mean"))

    @lake_asset(**DAILY)
    def engagement(subreddit_scores: pd.DataFrame) -> np.ndarray:  # noqa: F821
        """How posts, best score, comments and approval go together, from -1 to 1."""
        return subreddit_scores[["posts", "best", "comments", "liked"]].corr().fillna(0.0).to_numpy()

    @lake_asset(**DAILY)
    def summary(subreddit_scores: pd.DataFrame, top_posts: list) -> dict[str, Any]:  # noqa: F821
        """The day in a few words."""
        best = max(top_posts, key=lambda post: post["score"] or 0, default=None)
        return {"subreddits": len(subreddit_scores), "posts": len(top_posts), "best": best}

    @lake_asset(**DAILY)
    def engagement_chart(subreddit_scores: pd.DataFrame) -> Any:  # noqa: F821
        """A bar for each subreddit."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.barh(subreddit_scores["subreddit"], subreddit_scores["comments"], color="#3566b8")
        axes.set_xlabel("comments on the day's ten best posts")
        return figure
