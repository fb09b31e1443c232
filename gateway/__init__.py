"""The ways in from outside: HTTP, and the command `raydo`."""
