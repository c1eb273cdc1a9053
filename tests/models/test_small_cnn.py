import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from lookright.errors import ConfigError
from lookright.models import SmallCNN, find_target_layer


def test_grid_is_a_quarter_of_the_image() -> None:
    network = SmallCNN(10)
    layer = find_target_layer(network, image_size=32)
    assert (layer.name, layer.channels, layer.grid, layer.stride) == ("features", 64, (8, 8), 4)
    assert find_target_layer(SmallCNN(10, (4, 4, 4, 8)), image_size=32).grid == (8, 8)
    assert not any(getattr(module, "inplace", False) for module in network.modules())


def test_learns_digits_in_ten_epochs() -> None:
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1
    labels = torch.from_numpy(digits.target)
    train, test = train_test_split(torch.arange(len(labels)), train_size=600, random_state=0, stratify=labels)
    torch.manual_seed(0)
    network = SmallCNN(10)
    # 16 pixels instead of 32, so that the test takes a second
    images = nn.functional.interpolate(images, scale_factor=2, mode="bilinear").repeat(1, 3, 1, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(10):
        for rows in train[torch.randperm(len(train))].split(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        accuracy = (network(images[test]).argmax(1) == labels[test]).float().mean()
    assert accuracy > 0.9


def test_no_channels() -> None:
    with pytest.raises(ConfigError, match="channels: got none"):
        SmallCNN(10, ())
