"""One page about one or many runs."""
