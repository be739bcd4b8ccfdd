"""How good tracks and forecasts are, against a known truth."""
