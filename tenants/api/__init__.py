"""The REST API, `/api/v1/`: everything that the pages can do, for programs. See docs/api.md."""
