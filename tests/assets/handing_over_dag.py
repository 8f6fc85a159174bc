"""A DAG whose tasks hand over values that are no JSON, large ones, and mapped ones; the tests put it into a DAGs folder."""

from datetime import timedelta

from airflow.sdk import DAG, task

from ducklift.assets import StaticPartitions
from ducklift.orchestration.lake_asset import lake_asset

with DAG("handing_over", schedule=None):

    @task
    def frame():
        import pandas as pd

        return pd.DataFrame({"n": [1, 2, 3]})

    @task
    def large() -> dict:
        return {"text": "x" * 100_000}

    @task
    def small() -> dict:
        return {"n": 1}

    @task
    def alike() -> dict:
        return {"ducklift_stored_value": {"key": "not", "a": "reference"}}

    @task
    def add(frame, large, small, alike) -> list:
        assert alike == {"ducklift_stored_value": {"key": "not", "a": "reference"}}
        return [int(frame["n"].sum()), len(large["text"]), small["n"]]

    @task
    def times_ten(n: int):
        import numpy as np

        return np.array([n * 10])

    @task
    def collect(arrays) -> int:
        return int(sum(array[0] for array in arrays))

    found = add(frame(), large(), small(), alike())
    collect(times_ten.expand(n=found))

    @task(retries=1, retry_delay=timedelta(0))
    def twice(ti=None):
        ti.xcom_push("tried", {ti.try_number})
        if ti.try_number == 1:
            raise RuntimeError("the first try fails, and what it handed over goes with it")

    twice()

    @task
    def regions():
        return ["eu", "us"]

    @lake_asset(partitions=StaticPartitions(["eu", "us"]), over=regions())
    def mapped(context):
        return f"value of {context.partition_key}"
