"""Training, evaluation and use of runs: see `trainer.train`, `evaluate.evaluate`, `images.explain_images`."""
