"""Read a run while it trains, without disturbing it."""
