"""Work on whole subtrees."""
