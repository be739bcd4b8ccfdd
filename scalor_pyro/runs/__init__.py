"""What a training leaves on disk: run folders, checkpoints, weights, and where they come from."""
