"""What the runs of one process share: features of frozen networks, and images once they were read."""

from __future__ import annotations

from dataclasses import asdict

from lookright.config import DataConfig, TrainConfig
from lookright.data import AnnotationSet, ExplanationDataset
from lookright.data.shards import is_sharded
from lookright.data.stream import Images
from lookright.engine.features import FeatureStore
from lookright.engine.run_data import make_dataset, read_data
from lookright.engine.run_images import images_of, matching
from lookright.engine.trained_run import TrainedRun

_SETS = 6
"""How many splits stay in memory; each takes 1 GB at most."""


class Shared:
    """Stores of features by where they are kept, and splits by what they show."""

    def __init__(self) -> None:
        self._stores: dict[str, FeatureStore | None] = {}
        self._read: dict[str, AnnotationSet] = {}
        self._images: dict[str, tuple[AnnotationSet, ExplanationDataset]] = {}

    def store(self, config: TrainConfig) -> FeatureStore | None:
        """Features that runs of these options share."""
        key = repr((config.cache_features, config.cache_dir, config.cache_gb))
        if key not in self._stores:
            self._stores[key] = FeatureStore.of(config)
        return self._stores[key]

    def read(self, config: DataConfig) -> AnnotationSet:
        """Read a data set, once."""
        key = _data_key(config)
        if key not in self._read:
            self._read[key] = read_data(config)
        return self._read[key]

    def images(self, run: TrainedRun, split: str) -> tuple[AnnotationSet, Images]:
        """Give a split as a trained network wants it; its photos and annotations are decoded once.

        Args:
            run: whose network
            split: which images

        Raises:
            ConfigError, DataError: no such data or split.
        """
        config = run.config
        if is_sharded(config):
            return images_of(run, split, config)
        pixels = config.image_size, run.classifier.mean, run.classifier.std
        key = repr((_data_key(config), split, pixels, run.classes))
        if key not in self._images:
            found = matching(self.read(config), run).split(split)
            self._images[key] = found, make_dataset(found, run.classifier, config)
            if len(self._images) > _SETS:
                del self._images[next(iter(self._images))]
        return self._images[key]


def _data_key(config: DataConfig) -> str:
    """Name what a data folder is read by: neither its size in pixels nor which part of it learns."""
    names = asdict(DataConfig()).keys() - {"image_size", "annotated_per_class", "train_per_class"}
    return repr([(name, getattr(config, name)) for name in sorted(names)])
