"""Laboratories: measurements of the paper's claims, on runs and on games in which everything is exact."""
