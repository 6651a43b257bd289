"""Pages: a view is a function that tells its request's story from top to bottom."""
