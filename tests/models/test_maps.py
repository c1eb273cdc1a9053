import numpy as np
import pytest
import torch

from lookright.errors import ConfigError
from lookright.models import Layout, to_map

SHAPES = {Layout.CHANNELS_FIRST: (2, 5, 3, 4), Layout.CHANNELS_LAST: (2, 3, 4, 5), Layout.TOKENS: (2, 14, 5)}


def by_hand(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Cell by cell: channel c of cell (y, x)."""
    out = np.zeros((2, 5, 3, 4))
    for b, c, y, x in np.ndindex(out.shape):
        match layout:
            case Layout.CHANNELS_FIRST:
                out[b, c, y, x] = values[b, c, y, x]
            case Layout.CHANNELS_LAST:
                out[b, c, y, x] = values[b, y, x, c]
            case Layout.TOKENS:
                out[b, c, y, x] = values[b, 2 + y * 4 + x, c]
    return out


@pytest.mark.parametrize("layout", Layout)
def test_equals_indexing_by_hand(layout: Layout) -> None:
    values = torch.randn(SHAPES[layout])
    prefix = 2 if layout is Layout.TOKENS else 0
    seen = to_map(values, layout, (3, 4), prefix)
    np.testing.assert_array_equal(seen.numpy(), by_hand(values.numpy(), layout).astype(np.float32))


@pytest.mark.parametrize("layout", Layout)
def test_is_a_view_and_differentiable_twice(layout: Layout) -> None:
    values = torch.randn(SHAPES[layout], dtype=torch.float64, requires_grad=True)
    prefix = 2 if layout is Layout.TOKENS else 0

    def seen(x: torch.Tensor) -> torch.Tensor:
        return to_map(x, layout, (3, 4), prefix) ** 3

    assert to_map(values, layout, (3, 4), prefix).data_ptr() == values[:, prefix:].data_ptr()
    assert torch.autograd.gradcheck(seen, values)
    assert torch.autograd.gradgradcheck(seen, values)


def test_maps_may_have_another_size_and_tokens_not() -> None:
    assert to_map(torch.zeros(1, 2, 9, 9), Layout.CHANNELS_FIRST, (3, 3)).shape == (1, 2, 9, 9)
    assert to_map(torch.zeros(1, 9, 9, 2), Layout.CHANNELS_LAST, (3, 3)).shape == (1, 2, 9, 9)
    with pytest.raises(ConfigError, match=r"got 17 tokens, expected 1 \+ 3 x 3; give images of the size"):
        to_map(torch.zeros(1, 17, 2), Layout.TOKENS, (3, 3), prefix=1)
    with pytest.raises(ConfigError, match=r"got \(1, 17, 2\), expected \(B, C, h, w\)"):
        to_map(torch.zeros(1, 17, 2), Layout.CHANNELS_FIRST, (3, 3))
