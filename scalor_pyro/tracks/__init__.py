"""Tracks: tables of objects in pixels and frames of a video, how they are made, and their files."""
