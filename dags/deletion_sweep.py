"""What is gone at its source goes here, too: once a day, for each pipeline that has `sweep:` in its file.

**A run** asks the source about the records of the window (Reddit: by `/api/info`, a hundred a request), takes the content of those that are
gone out of the table, raw files, quarantine, checkpoints, published versions and samples, and leaves a record in `_ducklift/sweeps/`. It
changes nothing when more are said to be gone than `sweep.max_ratio` allows.

**A re-run** finds nothing more to do; what a run that was cut short had begun is done to its end first. See docs/deletions.md.
"""

from airflow.sdk import CronTriggerTimetable

from ducklift.orchestration.deletion_sweep import deletion_sweep_dag

deletion_sweep = deletion_sweep_dag(
    "deletion_sweep",
    schedule=CronTriggerTimetable("30 4 * * *", timezone="UTC"),
    tags=["maintenance"],
    doc_md=__doc__,
)
