"""All sides of the comparison give the same maps, up to what each does to them afterwards."""

import pytest
import torch

from lookright.bench.maps import (
    captum_maps,
    grad_cam_maps,
    make_map_subject,
    map_figures,
    our_large_maps,
    our_maps,
)
from lookright.bench.settings import QUICK

CPU = torch.device("cpu")


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18"])
def test_the_maps_are_the_same(backbone: str) -> None:
    subject = make_map_subject(backbone, images=5, batch_size=2, image_size=64, device=CPU)
    raw, enlarged = our_maps(subject), our_large_maps(subject)
    assert raw.shape[:2] == (5, 1)
    assert enlarged.shape == (5, 64, 64)
    torch.testing.assert_close(captum_maps(subject), raw, atol=1e-6, rtol=1e-4)
    # Each side keeps another epsilon from zero, and here some maps have nothing positive at all.
    torch.testing.assert_close(grad_cam_maps(subject), enlarged, atol=2e-3, rtol=1e-2)
    assert (enlarged.amax(dim=(1, 2)) > 0.9).any()


def test_tokens_of_a_transformer_are_maps_too() -> None:
    subject = make_map_subject("vit_tiny_patch16_224", images=2, batch_size=2, image_size=64, device=CPU)
    torch.testing.assert_close(grad_cam_maps(subject), our_large_maps(subject), atol=2e-3, rtol=1e-2)


def test_nothing_is_left_behind() -> None:
    subject = make_map_subject("small_cnn", images=2, batch_size=2, image_size=32, device=CPU)
    for maps in (our_maps, captum_maps, grad_cam_maps):
        maps(subject)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.network.modules())


def test_figures_compare_like_with_like() -> None:
    figures = list(map_figures(QUICK, CPU))
    assert [figure.over for figure in figures] == [("pytorch-grad-cam", "ours, enlarged"), ("captum", "ours")]
    assert all(figure.spread and figure.spread.median > 0 for figure in figures)
