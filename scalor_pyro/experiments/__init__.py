"""Whole runs: from settings to a trained model, its scores and its pictures."""
