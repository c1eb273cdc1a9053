"""By which names and addresses the server is asked, and that no foreign name leads to it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from annotate_made import write_photos
from served_page import Served, running

from lookright.annotate.hosts import host_header, host_headers, named, other_addresses
from lookright.annotate.open_project import open_project
from lookright.errors import ConfigError


def own_addresses() -> list[str]:
    """Addresses of this machine that are not the usual loopback: of its network, where it has one."""
    outward = [header.rpartition(":")[0] for header in other_addresses("0.0.0.0", 1)[:-1]]
    return ["127.0.0.2", *outward]


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that listens at all addresses."""
    project = open_project(write_photos(tmp_path_factory.mktemp("hosts") / "data"), annotator="anna")
    with running(project, None, host="0.0.0.0") as served:
        yield served
    project.close()


def asked(address: str, port: int, host: str | None = None) -> int:
    """The status of an answer to the one who asks at an address, perhaps by another name."""
    headers = {} if host is None else {"Host": host}
    try:
        with urlopen(Request(f"http://{address}:{port}/api/session", headers=headers), timeout=10) as answer:
            return int(answer.status) if json.load(answer)["annotator"] == "anna" else 0
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("address", own_addresses())
def test_each_address_of_this_machine_is_served(everywhere: Served, address: str) -> None:
    port = int(everywhere.url.rsplit(":", 1)[1])
    assert asked(address, port) == 200
    assert asked(address, port, f"{socket.gethostname()}:{port}") == 200


@pytest.mark.parametrize("address", own_addresses())
def test_no_foreign_name_or_address_is(everywhere: Served, address: str) -> None:
    port = int(everywhere.url.rsplit(":", 1)[1])
    for host in ("evil.example", f"evil.example:{port}", f"8.8.8.8:{port}", address, f"{address}:1"):
        assert asked(address, port, host) == 421


def test_a_server_at_one_address_is_served_there_alone(tmp_path: Path) -> None:
    project = open_project(write_photos(tmp_path / "data"), annotator="anna")
    with running(project, None) as served:
        port = int(served.url.rsplit(":", 1)[1])
        assert asked("127.0.0.1", port) == 200
        assert asked("127.0.0.1", port, f"127.0.0.2:{port}") == 421
        assert asked("127.0.0.1", port, f"{socket.gethostname()}:{port}") == 421
    project.close()


def test_host_headers_of_other_hosts() -> None:
    assert "192.168.1.5:8017" in host_headers("192.168.1.5", 8017)
    assert "[fe80::1]:8017" in host_headers("fe80::1", 8017)
    assert {"localhost", "localhost:80"} <= host_headers("127.0.0.1", 80)
    assert "localhost" not in host_headers("127.0.0.1", 8017)
    assert f"{socket.gethostname().lower()}:8017" in host_headers("::", 8017)


def test_addresses_as_sockets_tell_them() -> None:
    assert host_header("::ffff:10.0.0.1", 8017) == "10.0.0.1:8017"
    assert host_header("FE80:0:0::1%eth0", 8017) == "[fe80::1]:8017"


@pytest.mark.parametrize(
    ("name", "header"),
    [("Lab.Example", "lab.example:8017"), ("lab.example:80", "lab.example"), ("[::1]:9000", "[::1]:9000")],
)
def test_names_that_are_given(name: str, header: str) -> None:
    assert named(name, 8017) == header
    assert header in host_headers("127.0.0.1", 8017, [name])


@pytest.mark.parametrize(
    "name", ["", "http://lab.example", "lab.example/", "lab example", "a:b", "a:70000", "*"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError, match="give HOST or HOST:PORT"):
        named(name, 8017)
