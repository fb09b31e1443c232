"""Complete durable objects of one's own, each with its tests: copy one and start."""
