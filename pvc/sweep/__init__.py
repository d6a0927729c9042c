"""Sweeps of trainings: names of their runs, a process for each, their evaluation, and what a search minimises."""
