"""Whole runs: from settings to a trained model, its figures and its pictures."""
