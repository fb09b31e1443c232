"""Durable objects: what they are, what they own, and where they live."""
