"""Experiments: a grid of runs (`lookright bench GRID.yaml`), their one table, and what it shows."""
