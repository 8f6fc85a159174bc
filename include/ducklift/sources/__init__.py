"""Where records come from. A source yields batches of records and never sees the lake."""
