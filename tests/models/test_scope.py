import pytest
import torch
from torch import nn

from lookright.config import TrainScope
from lookright.errors import ConfigError
from lookright.models import apply_scope, create, find_scope, find_target_layer, set_train_mode, trace
from networks import FAMILIES, IMAGE_SIZE

LAST_STAGES = {
    "small_cnn": ("features.2", "head"),
    "resnet18": ("layer4", "fc"),
    "tf_efficientnet_lite0": ("blocks.6", "conv_head", "bn2", "classifier"),
    "mobilenetv3_small_050": ("blocks.4", "blocks.5", "conv_head", "classifier"),
    "densenet121": ("features.denseblock4", "features.norm5", "classifier"),
    "convnext_atto": ("stages.3", "head"),
    "regnetx_002": ("s4", "head"),
    "torchvision:resnet18": ("layer4", "fc"),
    "torchvision:densenet121": ("features.denseblock4", "features.norm5", "classifier"),
    "torchvision:mobilenet_v3_small": ("features.11", "features.12", "classifier"),
    "torchvision:convnext_tiny": ("features.7", "classifier"),
    "torchvision:efficientnet_b0": ("features.7", "features.8", "classifier"),
    "torchvision:regnet_x_400mf": ("trunk_output.block4", "fc"),
}


LAST_STAGES_OF_FAMILIES = {
    "timm vit": ("blocks.2", "norm", "head"),
    "timm vit average pooling": ("blocks.2", "fc_norm", "head"),
    "timm vit registers": ("blocks.2", "norm", "head"),
    "timm vit attention pooling": ("blocks.2", "norm", "attn_pool", "head"),
    "timm deit distilled": ("blocks.2", "norm", "head", "head_dist"),
    "timm swin": ("layers.2", "norm", "head"),
    "timm swinv2": ("layers.2", "norm", "head"),
    "timm convnext": ("stages.3", "head"),
    "torchvision vit": ("encoder.layers.encoder_layer_2", "encoder.ln", "heads"),
    "torchvision swin": ("features.5", "norm", "head"),
    "torchvision convnext": ("features.7", "classifier"),
    "own": ("mixer", "hidden", "output"),
}


def flat() -> nn.Sequential:
    """As VGG: bare convolutions between poolings."""
    return nn.Sequential(
        nn.Sequential(
            *(
                nn.Conv2d(3, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.Dropout2d(0.1),
                nn.MaxPool2d(2),
            ),
            *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)),
        ),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(4, 2),
    )


@pytest.mark.parametrize("backbone", LAST_STAGES)
def test_last_stage(backbone: str) -> None:
    network = create(backbone, num_classes=3, image_size=64).network
    scope = apply_scope(network, "last-stage", image_size=64)
    assert scope.parts == LAST_STAGES[backbone]
    parameters = dict(network.named_parameters())
    assert {name for name, p in parameters.items() if p.requires_grad} == set(scope.trained)
    assert set(scope.trained) == {
        n for n in parameters if n.startswith(tuple(f"{part}." for part in scope.parts))
    }
    assert {*scope.frozen, *scope.trained} == set(parameters)


@pytest.mark.parametrize("family", LAST_STAGES_OF_FAMILIES)
def test_last_stage_of_transformers_is_the_last_block_or_stage(family: str) -> None:
    scope = find_scope(FAMILIES[family](), "last-stage", image_size=IMAGE_SIZE)
    assert scope.parts == LAST_STAGES_OF_FAMILIES[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_stage_learns_from_the_gradient_at_the_target_layer(family: str) -> None:
    """The explanation loss must have something to move: the target layer lies in the stage or below it."""
    network = FAMILIES[family]()
    scope = find_scope(network, "last-stage", image_size=IMAGE_SIZE)
    layer = find_target_layer(network, image_size=IMAGE_SIZE)
    runs = list(trace(network, IMAGE_SIZE).last_runs)
    assert runs.index(layer.name) < runs.index(scope.parts[-1])
    assert 0 < len(scope.trained) < len(list(network.parameters()))


@pytest.mark.parametrize(
    ("backbone", "stage"), [("swin_tiny_patch4_window7_224", "layers.3"), ("mvitv2_tiny", "stages.3")]
)
def test_last_stage_of_windows_and_of_blocks_that_give_more_than_tokens(backbone: str, stage: str) -> None:
    network = create(backbone, num_classes=3, image_size=64).network
    assert find_scope(network, "last-stage", image_size=64).parts == (stage, "norm", "head")


def test_head_of_a_network_with_a_class_token_and_of_one_with_two_heads() -> None:
    vit = find_scope(FAMILIES["timm vit"](), "head", image_size=IMAGE_SIZE)
    assert vit.trained == ("head.weight", "head.bias")
    deit = find_scope(FAMILIES["timm deit distilled"](), "head", image_size=IMAGE_SIZE)
    assert deit.parts == ("head", "head_dist")


def test_last_stage_of_bare_convolutions_is_those_of_one_resolution() -> None:
    assert find_scope(flat(), "last-stage", image_size=32).parts == ("0.8", "0.10", "0.11", "4")


def test_last_stage_of_a_wrapped_network_is_found_inside() -> None:
    backbone = create("resnet18", num_classes=8, image_size=64).network
    assert find_scope(nn.Sequential(backbone, nn.Linear(8, 2)), "last-stage", image_size=64).parts == (
        "0.layer4",
        "0.fc",
        "1",
    )


def test_head_and_all() -> None:
    network = create("tf_efficientnet_lite0", num_classes=3, image_size=64).network
    head = apply_scope(network, "head", image_size=64)
    assert head.trained == ("classifier.weight", "classifier.bias")
    everything = apply_scope(network, "all", image_size=64)
    assert everything.frozen == ()
    assert all(p.requires_grad for p in network.parameters())


def test_parameters_that_never_run_are_frozen_unless_all_train() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Conv2d(3, 4, 3), nn.ModuleList([nn.Linear(2, 2)])
            self.fc = nn.Linear(4, 2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.fc(self.used(image).mean((2, 3)))

    network = Spare()
    scope = find_scope(network, "last-stage", image_size=8)
    assert scope.parts == ("used", "fc")
    assert scope.frozen == ("spare.0.weight", "spare.0.bias")
    assert len(find_scope(network, "all", image_size=8).trained) == 6


def test_scopes_that_there_are_not() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with pytest.raises(ConfigError, match="'last-stage' needs attention, or a convolution"):
        find_scope(network, "last-stage", image_size=8)
    with pytest.raises(ConfigError, match="got 'half', expected all, last-stage or head"):
        find_scope(network, "half", image_size=8)


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "torchvision:densenet121"])
@pytest.mark.parametrize("part", ["last-stage", "head"])
def test_frozen_batchnorm_keeps_its_statistics_and_trained_ones_move(backbone: str, part: TrainScope) -> None:
    torch.manual_seed(0)
    network = create(backbone, num_classes=3, image_size=64).network
    scope = apply_scope(network, part, image_size=64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        set_train_mode(network)
        loss = nn.functional.cross_entropy(network(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.eval()  # as an evaluation between the epochs does
    learning = tuple(f"{name}." for name in scope.parts)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(learning), name


def test_set_train_mode_puts_parts_without_parameters_with_the_part_before() -> None:
    network = flat()
    apply_scope(network, "last-stage", image_size=32)
    set_train_mode(network)
    modes = [module.training for module in network[0]]
    assert modes == [False] * 8 + [True] * 4  # the first Dropout2d stays off, the last BatchNorm counts
    assert network.training
    assert network[3].training  # the Dropout before the head
    network.requires_grad_(False)
    set_train_mode(network)
    assert not any(module.training for module in network.modules())
    apply_scope(network, "all", image_size=32)
    set_train_mode(network)
    assert all(module.training for module in network.modules())


def test_batchnorm_of_learning_parts_can_keep_its_statistics() -> None:
    network = create("resnet18", num_classes=2, image_size=64).network
    before = {name: value.clone() for name, value in network.named_buffers()}
    for freeze in (True, False):
        set_train_mode(network, freeze_batchnorm=freeze)
        network(torch.rand(2, 3, 64, 64))
        kept = all(torch.equal(value, before[name]) for name, value in network.named_buffers())
        assert kept is freeze
        assert network.bn1.weight.requires_grad
