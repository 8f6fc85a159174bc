"""Once a week, what the lake no longer needs goes: raw files past their retention, orphans, superseded loads, old versions.

**A run** collects the tables of each pipeline by itself (`table_gc`), by the `retention` that its file in `include/pipelines/` states:
before raw files expire, the table is kept as a checkpoint from which `ducklift rebuild` starts. Then `lake_gc` takes what belongs to no
table: unfinished uploads, spool packages that were left behind, folders of killed loads. Nothing goes that a rebuild still needs, and
nothing of an upload under way. Each task leaves a record of what went under `_ducklift/gc/`; a table whose checkpoint cannot be written
ends red and keeps its raw files.

**A re-run** finds what is left, also of a run that was cut short, and ends the same. To see beforehand what would go: `ducklift gc`.
"""

from airflow.sdk import CronTriggerTimetable

from ducklift.orchestration.maintenance import maintenance_dag

lake_maintenance = maintenance_dag(
    "lake_maintenance",
    schedule=CronTriggerTimetable("0 4 * * 0", timezone="UTC"),
    tags=["maintenance"],
    doc_md=__doc__,
)
