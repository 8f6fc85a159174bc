# %% [markdown]
# Values in and out of storage, cell by cell. Run it anywhere: it makes a lake in a temporary folder.

# %%
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from ducklift.assets import AssetIn, AssetValueLoader, FileManager, OutputContext, asset, daily, materialize, materialize_to_memory
from ducklift.settings import load_settings

project = Path(tempfile.mkdtemp())
(project / "include" / "pipelines").mkdir(parents=True)
(project / "include" / "storage.yaml").write_text("io_managers:\n  tables: {type: duckdb, dataset: analytics}\n")
settings = load_settings({"DUCKLIFT_PIPELINES": str(project / "include" / "pipelines")}, project)

# %% [markdown]
# Three assets, one partition a day. The parameter's name says what is needed, its annotation as what.

# %%
DAYS = daily("2026-01-01")


@asset(partitions=DAYS)
def posts(context: OutputContext) -> pd.DataFrame:
    day = int(context.partition_key[-2:])
    return pd.DataFrame({"title": [f"post {n}" for n in range(day)], "score": range(day)})


@asset(partitions=DAYS, io_manager_key="tables")
def top_posts(posts: pl.DataFrame) -> pl.DataFrame:
    return posts.sort("score", descending=True).head(2)


@asset
def scores(posts: dict[str, pd.DataFrame]) -> np.ndarray:
    return np.array([frame["score"].sum() for frame in posts.values()])


for day in ("2026-01-02", "2026-01-03"):
    run = materialize([top_posts, posts], partition_key=day, settings=settings)
    print(day, run.metadata["top_posts"]["rows"], "rows in", run.metadata["top_posts"]["table"])
materialize([scores], settings=settings)

# %% [markdown]
# Load what was stored, from anywhere: one partition, several by their keys, as any type.

# %%
with AssetValueLoader(settings) as loader:
    assert loader.load_asset_value("scores").tolist() == [1, 3]
    assert list(loader.load_asset_value("posts", partition_key=["2026-01-03", "2026-01-02"])) == ["2026-01-03", "2026-01-02"]
    assert isinstance(loader.load_asset_value("posts", partition_key="2026-01-02", as_type=pl.DataFrame), pl.DataFrame)
    assert loader.load_asset_value("top_posts", partition_key="2026-01-03", as_type=pd.DataFrame)["score"].tolist() == [2, 1]

# %% [markdown]
# Every write is a version, and what was current at a time is found again.

# %%
before = datetime.now(UTC)
materialize([scores], settings=settings, run_id="again")
with AssetValueLoader(settings) as loader:
    assert loader.load_asset_value("scores", as_of=before).tolist() == [1, 3]

# %% [markdown]
# An input from elsewhere: a query on the warehouse, its values bound. In memory, nothing is stored: for tests.

# %%
BEST = {"query": "SELECT max(score) AS best FROM analytics.top_posts WHERE partition_key = $partition_key"}


@asset(partitions=DAYS, ins={"found": AssetIn(input_manager_key="warehouse", metadata=BEST)})
def best(found: pd.DataFrame) -> int:
    return int(found["best"][0])


assert materialize_to_memory([best], partition_key="2026-01-03", settings=settings).output_for_node("best") == 2

# %% [markdown]
# Files by handle: the bytes stay in storage, the handle is plain data.

# %%
with FileManager(settings=settings) as files:
    handle = files.write_data(b"a report", "txt")
    print(handle.path_desc)
    assert files.read_data(handle.model_dump()) == b"a report"
