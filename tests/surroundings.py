"""What tests must not inherit: the job that they run in, and proxies that would answer for local servers."""

from collections.abc import MutableMapping

_JOB = ("SLURM_", "TORCHELASTIC_")
_PROCESS = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
)


def forget(environment: MutableMapping[str, str]) -> None:
    for name in list(environment):
        if name.startswith(_JOB) or name in _PROCESS or name.lower().endswith("_proxy"):
            del environment[name]
    environment["no_proxy"] = "*"
