"""A file of a bucket, or all that match a pattern, into a table of your choice: triggered by hand, with Airflow's form.

**A run** takes the files under `path` in `bucket` that the table does not have yet: `bucket_files_extraction` copies them to the spool
as they are, `s3_upload` puts them under `raw/bucket/<table>/` with their manifest, and `duckdb_load` makes the table when it is not
there and brings the rows in: typed as `columns` says (`date date, share_price double`), or as they are found. CSV has a header; a
record that does not fit goes to quarantine with its line. The buckets to choose from, and what the form shows at first, stand in
`include/pipelines/bucket_file.yaml`. Without a change, the form loads the sandbox's `samples/prices.csv`.

**A re-run**, and another run for the same file, brings nothing twice: a file is known by its name, size and etag, and one that was
changed is read again. `replace` puts the files in the place of the whole table each time.

**By event**: with `schedule=ObjectsLand(path="incoming/*")` a run begins when objects land there, and loads each of them once
(docs/scheduling.md).

The same from the command line: `ducklift run bucket_file --set source.path='samples/*.json' --set table=bucket.orders`.
"""

from ducklift.orchestration.dag import pipeline_dag

bucket_file = pipeline_dag("bucket_file", schedule=None, retries=3, tags=["files"], doc_md=__doc__)
