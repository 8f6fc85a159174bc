"""New taxi trips, once a day, from Parquet files in a bucket into `taxi.trips`, without a copy of the files.

**A run** lists the files of `include/pipelines/taxi_trips.yaml` and looks into those that are new or changed: `bucket_files_extraction`
finds by the footers' statistics which row groups hold trips from three days before the newest loaded pickup on, and notes them with each
file's version. `s3_upload` puts that manifest, and nothing else, into the lake. `duckdb_load` reads those row groups, the needed columns
alone, and merges the trips by `trip_id`. Rows loaded, rows in all and the last pickup stand on the asset event and in the task's result.

**The next run** finds no new file, reads nothing and loads 0 rows. In the sandbox each of its days brings a file: twelve minutes of yours.

**A re-run** of the same day (a cleared task, a retry) finds the same load and changes nothing. A run triggered by hand may stop before a
day that its form names, for a quick first try; the run after it goes on from there. A file that was changed since a run listed it ends that
run red, by name.
"""

from airflow.sdk import CronDataIntervalTimetable

from ducklift.orchestration.dag import pipeline_dag

taxi_trips = pipeline_dag(
    "taxi_trips",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    retries=3,
    tags=["bucket_files"],
    doc_md=__doc__,
)
