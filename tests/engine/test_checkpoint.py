import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lookright.engine.checkpoint import (
    fact,
    load_checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    save_checkpoint,
    stripped,
)
from lookright.errors import CheckpointError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    whole = torch.rand(4, 6).mul(10).to(dtype)
    tensors = {
        "plain": whole,
        "transposed": whole.T,
        "part": whole[1:3],
        "scalar": whole[0, 0],
        "again": whole,
    }
    facts = {"epoch": 3, "log": [{"loss": 0.5, "iou": None}], "classes": ["chat", "été"]}
    save_checkpoint(tmp_path / "a.safetensors", tensors, facts)
    read, told = load_checkpoint(tmp_path / "a.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert told == facts


def test_any_reader_of_safetensors_can_open_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", {"w": torch.ones(2)}, {"epoch": 0})
    assert torch.equal(load_file(tmp_path / "a.safetensors")["w"], torch.ones(2))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint; train the run first"):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_truncated(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "a.safetensors"
    save_checkpoint(file, {"w": torch.ones(100)}, {"epoch": 0})
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged") as error:
        load_checkpoint(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("facts", "told"),
    [({}, "does not say 'classes'"), ({"classes": "cat"}, "says 'cat' for 'classes'")],
)
def test_a_fact_that_is_missing_or_of_another_kind(facts: dict[str, object], told: str) -> None:
    with pytest.raises(CheckpointError, match=rf"best\.safetensors: damaged \({told}\); delete it"):
        fact(facts, "classes", Path("best.safetensors"), list)


def test_facts_that_are_none(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors", metadata={"lookright": "[1, 2]"})
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_what_lookright_did_not_write(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"w": torch.ones(2)}, file)
    with pytest.raises(
        CheckpointError, match="not a checkpoint of a lookright run; load bare weights with --from"
    ):
        load_checkpoint(file)
    save_file({"w": torch.ones(2)}, file, metadata={"lookright": "{no json"})
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(file)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "sprung").write_text, ("",))

    file = tmp_path / "a.safetensors"
    file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(file)
    assert not (tmp_path / "sprung").exists()


def test_prefixes() -> None:
    tensors = prefixed("network", {"a": torch.ones(1)}) | prefixed("objective", {"a": torch.zeros(1)})
    assert sorted(tensors) == ["network/a", "objective/a"]
    assert stripped("network", tensors)["a"].item() == 1
    assert stripped("net", tensors) == {}


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_an_optimizer_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, kind: type[torch.optim.Optimizer]
) -> None:
    torch.manual_seed(0)
    inputs = torch.rand(6, 4, 3)

    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, batches: torch.Tensor) -> None:
        for batch in batches:
            optimizer.zero_grad()
            network(batch).square().mean().backward()
            optimizer.step()

    straight = nn.Linear(3, 2)
    stopped = nn.Linear(3, 2)
    stopped.load_state_dict(straight.state_dict())
    steps(straight, kind(straight.parameters(), lr=0.1), inputs)

    first = kind(stopped.parameters(), lr=0.1)
    steps(stopped, first, inputs[:3])
    save_checkpoint(tmp_path / "a", optimizer_tensors(first), {})
    second = kind(stopped.parameters(), lr=0.1)
    restore_optimizer(second, load_checkpoint(tmp_path / "a")[0])
    steps(stopped, second, inputs[3:])
    assert torch.equal(straight.weight, stopped.weight)


def test_the_state_takes_the_order_of_the_weights_in_memory() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    turned = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    batches = torch.rand(4, 2, 3, 5, 5)
    for network in (plain, turned):
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
        for batch in batches:
            state = optimizer_tensors(optimizer)
            optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
            restore_optimizer(optimizer, {name: tensor.contiguous() for name, tensor in state.items()})
            network(batch).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(turned.weight, plain.weight)


def test_the_state_of_more_parameters_is_refused() -> None:
    large, small = nn.Linear(3, 2), nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.Adam(large.parameters())
    large(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    with pytest.raises(CheckpointError, match="2 parameters, the model trains 1; resume with the options"):
        restore_optimizer(torch.optim.Adam(small.parameters()), optimizer_tensors(optimizer))


def test_facts_are_json_in_the_header(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_checkpoint(file, {"w": torch.ones(2)}, {"epoch": 7})
    length = int.from_bytes(file.read_bytes()[:8], "little")
    header = json.loads(file.read_bytes()[8 : 8 + length])
    assert json.loads(header["__metadata__"]["lookright"]) == {"epoch": 7}
