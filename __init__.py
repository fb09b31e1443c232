"""raydo."""
