"""The Lake page: what it knows (`reader`, `views`), how it looks and what it allows."""
