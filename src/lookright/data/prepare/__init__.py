"""Data sets made of others, each by one command: `lookright data prepare NAME`."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from lookright.data.prepare.decoy import prepare_decoy
from lookright.data.prepare.digits import prepare_digits
from lookright.data.prepare.gender import prepare_gender
from lookright.data.prepare.output import Prepared
from lookright.data.prepare.scene import prepare_scene
from lookright.data.prepare.shifted import prepare_shifted
from lookright.data.prepare.waterbirds import prepare_waterbirds
from lookright.prepare_config import (
    DecoyConfig,
    DigitsConfig,
    GenderConfig,
    PrepareConfig,
    SceneConfig,
    ShiftedConfig,
    WaterbirdsConfig,
)


class DataSet(NamedTuple):
    """A data set that can be made."""

    config: type[PrepareConfig]
    """its options"""
    make: Callable[..., Prepared]


DATA_SETS: Mapping[str, DataSet] = {
    "decoy": DataSet(DecoyConfig, prepare_decoy),
    "digits": DataSet(DigitsConfig, prepare_digits),
    "gender": DataSet(GenderConfig, prepare_gender),
    "scene": DataSet(SceneConfig, prepare_scene),
    "shifted": DataSet(ShiftedConfig, prepare_shifted),
    "waterbirds": DataSet(WaterbirdsConfig, prepare_waterbirds),
}
"""name -> what it is made with"""

__all__ = [
    "DATA_SETS",
    "DataSet",
    "Prepared",
    "prepare_decoy",
    "prepare_digits",
    "prepare_gender",
    "prepare_scene",
    "prepare_shifted",
    "prepare_waterbirds",
]
