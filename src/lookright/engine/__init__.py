"""Training, evaluation and use of runs: see `train.train`, `evaluate.evaluate`, `images.explain_images`."""
