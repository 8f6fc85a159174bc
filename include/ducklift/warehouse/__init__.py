"""DuckDB: connecting, staging, dispositions, the ledger. One transaction per load, or nothing."""

from ducklift.warehouse.connect import Warehouse, open_warehouse

__all__ = ["Warehouse", "open_warehouse"]
