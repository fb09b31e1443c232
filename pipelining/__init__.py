"""Promise pipelining: what travels between callers and objects, and how it gets there once."""
