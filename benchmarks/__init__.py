"""Benchmarks of raydo: `make bench`. Each prints a table of medians with minimum and maximum and writes JSON."""
