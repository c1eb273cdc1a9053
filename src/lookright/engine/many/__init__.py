"""Many runs at once: seeds and methods that learn a linear head on the same frozen features."""

from lookright.engine.many.train import train_many

__all__ = ["train_many"]
