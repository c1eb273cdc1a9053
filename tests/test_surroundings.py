"""Tests are the same under srun, torchrun and behind a proxy."""

import os

from surroundings import forget


def test_what_is_not_inherited() -> None:
    job = {"SLURM_NTASKS": "4", "TORCHELASTIC_RUN_ID": "1", "RANK": "3", "WORLD_SIZE": "4"}
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "a"}
    environment = job | proxies | {"PATH": "/bin", "LOOKRIGHT_DATA": "/photos"}
    forget(environment)
    assert environment == {"PATH": "/bin", "LOOKRIGHT_DATA": "/photos", "no_proxy": "*"}


def test_local_servers_answer_for_themselves() -> None:
    assert os.environ["no_proxy"] == "*"
