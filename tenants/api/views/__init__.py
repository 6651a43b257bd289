"""What each address of the API does: parse, call an action, say what came of it."""
