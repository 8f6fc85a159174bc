"""The kinds of stores that values are tried on."""

BACKENDS = ("memory", "file", "s3")
