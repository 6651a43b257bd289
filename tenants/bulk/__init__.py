"""Work on whole subtrees: looked at first, then done step by step, as the person who asked."""
