"""Made-up scenes by kind, drawn by code of their own; ``made_up_scenes.py`` writes them to files."""
