"""The frozen part of a network, run once per image instead of once per epoch.

Where only the last stage or the head learns, everything below gives the same features in every epoch. They
are computed in one pass, kept in memory or on disk, and served in place of the frozen part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lookright.data import ExplanationDataset, collate
from lookright.data.appearance import Appearance
from lookright.engine.features import Features, FeatureStore, Key
from lookright.engine.frozen_units import frozen_units
from lookright.explainers import Explainer
from lookright.models import Classifier, trace
from lookright.models.modes import evaluating
from lookright.types import Batch, Sample

log = logging.getLogger("lookright")

_TRIED = 4
"""On how many images it is tried out that stored features fit."""


class _Reached(Exception):  # noqa: N818 (no error: it ends a forward pass early)
    pass


Shown = tuple[ExplanationDataset, Appearance]


class FrozenTrunk:
    """Features of the frozen part of a network, by image, by mirroring and by isolation.

    While features are served, the frozen modules hand their input through and the last of them gives the
    features; the network's own forward does the rest, whatever it is. Where what comes between the modules
    depends on shapes (a ViT adds positions to its patches), they give zeros of their own shape instead. That
    this reproduces the network is checked on the first images; where it does not, nothing is cached.

    Args:
        network: with part of it frozen (see `lookright.models.apply_scope`)
        layers: names of the layers that explainers look at, which have to run
        image_size: H and W
        limit_bytes: how much memory the features may take, where they are not on disk
        store: where features of other runs are, and these go; None keeps them for this one
        about: what they depend on beside the network and the image size (see `FeatureStore`)
        explainers: all that will look at the network
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str] = (),
        *,
        image_size: int,
        limit_bytes: int = 2 << 30,
        store: FeatureStore | None = None,
        about: Mapping[str, Any] | None = None,
        explainers: Iterable[Explainer] = (),
    ) -> None:
        self.network = network
        self.units = frozen_units(network, layers, image_size=image_size)
        self.limit_bytes = limit_bytes
        self.features = Features()
        self.isolated = Features()
        """of isolated images, which depend on annotations: of this run alone"""
        self.image_size = image_size
        self._store = store
        self._about = {"image size": image_size, **(about or {})}
        self.shapes: dict[str, tuple[int, ...]] | None = None
        """unit -> shape of what it gives for one image, where zeros stand in for it"""
        self.feeds_convolutions = any(
            isinstance(module, nn.Conv2d) and module.weight.requires_grad for module in network.modules()
        )
        """whether convolutions follow that learn; a head alone has no use for channels-last features"""
        self.without_image = False
        """whether the features reproduce everything though nothing is known of the image"""
        self._explainers = tuple(explainers)

    def fill(
        self, datasets: Sequence[ExplanationDataset], device: torch.device | str, batch_size: int = 32
    ) -> bool:
        """Compute the features of all images, mirrored and isolated ones as well where the data set has them.

        Always so many images at a time: what a network gives for one differs by rounding with how many there
        are, and runs of the same photos shall have the same features to the bit. Where a store has some of
        them, these are taken as they are.

        Returns:
            whether there is a cache: something is frozen, the features fit, and serving them reproduces
            the network
        """
        by_key = _by_key(datasets)
        if not self.units or not by_key:
            return False
        if self._store is not None:
            self.features = self._store.features(self.network, self.units, self._about, device)
            self._store = None
        self.features.know((item.id, item.path) for dataset in datasets for item in dataset.items)
        keys = list(by_key)
        # On the first ones it is tried out whether features can be served, and are those of this network.
        tried = batch_size if self.features.missing(keys) else _TRIED
        first = keys[:tried]
        with evaluating(self.network), torch.no_grad():
            samples, features = self._compute(first, by_key, device, tried)
            if not self.features.make_room(keys, features, self.limit_bytes) or not self._can_serve(
                samples, features
            ):
                return self._give_up()
            self.features.check(first, features)
            missing = self.features.missing(keys)
            if self.features.on_disk:
                log.info("features: %d of %d images from the cache", len(keys) - len(missing), len(keys))
            enough = self.features.add(first, features)
            isolated = _by_key(datasets, isolated=True)
            enough &= self.isolated.make_room(list(isolated), features, self.limit_bytes)
            left = {
                self.features: self.features.missing(missing),
                self.isolated: self.isolated.missing(list(isolated)),
            }
            parts = [
                (to, rest[i : i + batch_size])
                for to, rest in left.items()
                for i in range(0, len(rest), batch_size)
            ]
            shown = by_key | isolated
            total = sum(len(part) for _, part in parts)
            with tqdm(total=total, desc="features", unit="image", disable=None) as bar:
                for to, part in parts:
                    if not enough:
                        return self._give_up()
                    enough = to.add(part, self._compute(part, shown, device, batch_size)[1])
                    bar.update(len(part))
        return enough or self._give_up()

    def _compute(
        self, keys: Sequence[Key], by_key: Mapping[Key, Shown], device: torch.device | str, batch_size: int
    ) -> tuple[list[Sample], Tensor]:
        samples = [dataset.show(appearance) for dataset, appearance in (by_key[key] for key in keys)]
        image = collate(samples).image.to(device)
        lacking = batch_size - len(image)
        if not lacking:
            return samples, self._run(image)
        filled = torch.cat([image, image[:1].expand(lacking, -1, -1, -1)])
        return samples, self._run(filled)[: len(image)].clone()

    def _give_up(self) -> bool:
        self.features.clear()
        self.isolated.clear()
        log.info("features of the frozen part are not cached (too large, or not separable)")
        return False

    @contextmanager
    def serving(self, batch: Batch) -> Iterator[None]:
        """Within this context the network starts from the features of the batch, if they are there."""
        if not len(self.features) or batch.mirrored is None:
            yield
            return
        features = self._gather(list(zip(batch.id, batch.mirrored, strict=True)))
        if features is None:
            yield
            return
        with self._serve(features, corner=batch.pixels is not None):
            yield

    def _gather(self, keys: Sequence[Key]) -> Tensor | None:
        """Features of images, (B, ...); None if some are not there."""
        isolated = self.features.missing(keys)
        if not isolated:
            return self.features.gather(keys)
        if self.isolated.missing(isolated):
            return None
        apart = set(isolated)
        whole = [key for key in keys if key not in apart]
        parts = [(self.features, whole), (self.isolated, isolated)]
        found = torch.cat([features.gather(part) for features, part in parts if part])
        place = {key: i for i, key in enumerate((*whole, *isolated))}
        return found[[place[key] for key in keys]]

    def serves(self, dataset: ExplanationDataset) -> bool:
        """Whether nobody needs the pixels of a data set: there are features of all its images.

        Args:
            dataset: the images, in all ways that they are shown
        """
        return (
            self.without_image
            and len(self.features) > 0
            and not self.features.missing(list(_by_key([dataset])))
            and not self.isolated.missing(list(_by_key([dataset], isolated=True)))
        )

    @contextmanager
    def _serve(self, features: Tensor, *, corner: bool = False) -> Iterator[None]:
        """Pass the units over; with `corner` only one pixel of the image, which is not there, goes on."""

        def first(x: Tensor, *_: Any, **__: Any) -> Tensor:
            # What comes between the units may work in place (a ReLU, say): not on the caller's image.
            return (x[..., :1, :1] if corner else x).clone()

        # As the weights above are, see `place`.
        if self.feeds_convolutions and features.ndim == 4 and features.device.type == "cpu":
            features = features.contiguous(memory_format=torch.channels_last)
        with ExitStack() as stack:
            for i, name in enumerate(self.units[:-1]):
                instead: Callable[..., Tensor] = first if i == 0 else (lambda x, *_, **__: x)
                if self.shapes is not None:
                    instead = partial(_zeros, features, (len(features), *self.shapes[name]))
                stack.enter_context(_forward_as(self.network.get_submodule(name), instead))
            last = self.network.get_submodule(self.units[-1])
            stack.enter_context(_forward_as(last, lambda *_, **__: features))
            yield

    def _run(self, image: Tensor) -> Tensor:
        """Run the frozen part alone."""
        found: list[Tensor] = []

        def stop(module: nn.Module, args: Any, output: Tensor) -> None:
            found.append(output)
            raise _Reached

        handle = self.network.get_submodule(self.units[-1]).register_forward_hook(stop)
        try:
            self.network(image)
        except _Reached:
            pass
        finally:
            handle.remove()
        return found[0]

    def _can_serve(self, samples: Sequence[Sample], features: Tensor) -> bool:
        """Find out how the units are passed over, if they can be, and whether the image is needed for it."""
        image = collate(samples).image.to(features.device)
        nothing = torch.full_like(image[:1, :1, :1, :1], torch.nan).expand_as(image)
        expected = self.network(image)
        if self._reproduces(image, features, expected):
            self.without_image = self._reproduces(nothing, features, expected)
            return True
        last_runs = trace(self.network, self.image_size).last_runs
        outputs = {name: last_runs[name].output for name in self.units}
        self.shapes = {name: output[1:] for name, output in outputs.items() if output is not None}
        if len(self.shapes) < len(outputs) or not self._reproduces(image, features, expected):
            return False
        self.without_image = self._reproduces(nothing, features, expected)
        return True

    def _reproduces(self, image: Tensor, features: Tensor, expected: Tensor) -> bool:
        """Whether the network, started from the features, gives what it gives from the images.

        Where the image is NaN, explanations must not have looked at it either.
        """
        is_nothing = bool(image.isnan().any())
        try:
            with self._serve(features.clone(), corner=is_nothing):
                served = self.network(image)
                label = torch.zeros(len(image), dtype=torch.int64, device=image.device)
                blind = not is_nothing or all(
                    bool(explainer(image, label).explanation.isfinite().all())
                    for explainer in self._explainers
                )
        except Exception:  # whatever a network does with an image where it expects features
            return False
        return blind and torch.allclose(served, expected, rtol=1e-3, atol=1e-4)


def make_trunk(
    classifier: Classifier,
    explainers: Iterable[Explainer],
    *,
    image_size: int,
    store: FeatureStore | None = None,
) -> FrozenTrunk | None:
    """Make the trunk of a run, if features can stand in for the frozen part under its explainers.

    Args:
        classifier: with part of its network frozen
        explainers: all that will look at it
        image_size: H and W
        store: where features of other runs are
    """
    explainers = list(explainers)
    if any(explainer.needs.whole_network for explainer in explainers):
        return None
    layers = sorted({name for explainer in explainers for name in explainer.layer_names})
    about = {"network": classifier.backbone, "mean": classifier.mean, "std": classifier.std}
    return FrozenTrunk(
        classifier.network, layers, image_size=image_size, store=store, about=about, explainers=explainers
    )


def _by_key(datasets: Sequence[ExplanationDataset], *, isolated: bool = False) -> dict[Key, Shown]:
    """All ways that images are shown, by what features are called by."""
    shown = [(dataset, each) for dataset in datasets for each in dataset.appearances(isolated=isolated)]
    return {(each.name, each.mirrored): (dataset, each) for dataset, each in shown}


def _zeros(like: Tensor, shape: tuple[int, ...], *_: Any, **__: Any) -> Tensor:
    return like.new_zeros(shape)


@contextmanager
def _forward_as(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace the forward of one module; its own is back afterwards, come what may."""
    own = module.__dict__.get("forward")
    module.forward = forward  # an attribute of this instance hides the class's method
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
