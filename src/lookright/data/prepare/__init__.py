"""Data sets made of others, each by one command: `lookright data prepare NAME`."""

from lookright.data.prepare.decoy import prepare_decoy
from lookright.data.prepare.gender import prepare_gender
from lookright.data.prepare.output import Prepared
from lookright.data.prepare.scene import prepare_scene
from lookright.data.prepare.shifted import prepare_shifted
from lookright.data.prepare.waterbirds import prepare_waterbirds

__all__ = [
    "Prepared",
    "prepare_decoy",
    "prepare_gender",
    "prepare_scene",
    "prepare_shifted",
    "prepare_waterbirds",
]
