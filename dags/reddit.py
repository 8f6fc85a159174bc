"""Reddit posts, once a day, through the lake into `reddit.posts`.

**A run** reads each subreddit of `include/pipelines/reddit.yaml` by itself, newest posts first, back to two days before the newest post
that was loaded: `reddit_extraction` writes every field of every post into the spool, `s3_upload` puts the files and their manifest under
`raw/reddit/posts/`, and `duckdb_load` merges them by `name`, so that scores and comment counts move on. A subreddit that is private,
banned or missing ends red and is named; the others land.

**A re-run** of the same day (a cleared task, a retry, a backfill) finds the same load and changes nothing. A run triggered by hand is
a load of its own; its form chooses among the configured subreddits, and only a whole reading of `new` moves the watermark.

**A backfill** cannot bring back an old day: Reddit lists about its newest 1,000 posts and knows no time range. It reads what is there now.
"""

from airflow.sdk import CronDataIntervalTimetable

from ducklift.orchestration.dag import pipeline_dag

reddit = pipeline_dag(
    "reddit",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    retries=3,
    tags=["reddit"],
    doc_md=__doc__,
)
