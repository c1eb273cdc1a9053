"""lookright trains image classifiers to look at the right place."""
