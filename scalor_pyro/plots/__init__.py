"""Pictures and players, drawn with matplotlib's objects alone."""
