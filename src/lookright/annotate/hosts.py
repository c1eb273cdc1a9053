"""The names and addresses at which a server is asked."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from contextlib import suppress

from lookright.errors import ConfigError

_NAME = re.compile(r"(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
_HTTP = 80
_LAST_PORT = 65535
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of documentation: nothing is sent there."""


def is_host(host: str) -> bool:
    """Whether it is an address or a name alone, without a port or brackets.

    Example:
        >>> is_host("0.0.0.0"), is_host("fe80::1%eth0"), is_host("lab.example")
        (True, True, True)
        >>> is_host("127.0.0.1:80"), is_host("[::1]"), is_host("")
        (False, False, False)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and not set(host) & set(":[]/ ")
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses of this machine.

    Example:
        >>> is_everywhere("0.0.0.0"), is_everywhere("::"), is_everywhere("192.168.1.5")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def host_header(host: str, port: int) -> str:
    """What browsers send as Host to an address: without the port of HTTP, IPv6 in brackets.

    Args:
        host: a name, or an address, even as sockets tell it
        port: of the server

    Example:
        >>> host_header("192.168.1.5", 8017), host_header("::ffff:192.168.1.5", 80), host_header("::1", 8017)
        ('192.168.1.5:8017', '192.168.1.5', '[::1]:8017')
    """
    host = host.lower().partition("%")[0]
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        host = str(mapped or address)
    name = f"[{host}]" if ":" in host else host
    return name if port == _HTTP else f"{name}:{port}"


def host_headers(host: str, port: int, names: Sequence[str] = ()) -> frozenset[str]:
    """Host headers that browsers send to a server: its own name, and what this machine calls itself.

    Args:
        host: at which it listens
        port: at which it listens
        names: further ones, HOST or HOST:PORT

    Raises:
        ConfigError: a name that is none.

    Example:
        >>> sorted(host_headers("127.0.0.1", 8017, ["lab.example", "localhost:9000"]))
        ['127.0.0.1:8017', '[::1]:8017', 'lab.example:8017', 'localhost:8017', 'localhost:9000']
    """
    own = ["127.0.0.1", "localhost", "::1", host, *([socket.gethostname()] if is_everywhere(host) else [])]
    found = {host_header(name, port) for name in own}
    if port == _HTTP:  # the port may be said all the same
        found |= {f"{header}:{_HTTP}" for header in found}
    return frozenset(found) | {named(name, port) for name in names}


def named(name: str, port: int) -> str:
    """The Host header of a name that somebody gave.

    Args:
        name: HOST or HOST:PORT
        port: where it says none

    Raises:
        ConfigError: it is no name.

    Example:
        >>> named("lab.example", 8017), named("[::1]:9000", 8017)
        ('lab.example:8017', '[::1]:9000')
    """
    found = _NAME.fullmatch(name.lower())
    if found is None or int(found["port"] or port) > _LAST_PORT:
        raise ConfigError(
            f"name: got {name!r}; give HOST or HOST:PORT, such as lab.example or localhost:9000"
        )
    return host_header(found["host"].strip("[]"), int(found["port"] or port))


def other_addresses(host: str, port: int) -> list[str]:
    """Host headers at which other machines reach a server that listens everywhere.

    Args:
        host: at which it listens
        port: at which it listens
    """
    if not is_everywhere(host):
        return []
    families = (socket.AF_INET, socket.AF_INET6) if ":" in host else (socket.AF_INET,)
    own = [address for family in families if (address := _outward(family)) and not is_loopback(address)]
    return [host_header(name, port) for name in (*own, socket.gethostname())]


def _outward(family: socket.AddressFamily) -> str | None:
    """This machine's address on the way to others; None where there is no way."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_ELSEWHERE[family], 9))
        return str(probe.getsockname()[0])
    return None
