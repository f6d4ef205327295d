"""The variance laboratory: how the advantage variance grows with the position and the number of agents."""
