"""pipelining."""
