"""Side-by-side measurements: what Ducklift takes against the best hand-written statement for the same bytes, in one run."""
