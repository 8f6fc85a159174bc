"""Ducklift lands data in your own bucket and lifts it into DuckDB, exactly once, on Apache Airflow."""

__version__ = "0.1.0"
