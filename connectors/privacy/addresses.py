"""Internet addresses without the part that names one household. Pure."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

IPV4_BITS: Final = 24
IPV6_BITS: Final = 48
_REMEMBERED: Final = 4_096


def truncated(value: object) -> object:
    """Cut an address to its network: IPv4 to /24, IPv6 to /48; a list item by item. None for what is no address."""
    if isinstance(value, list | tuple):
        return [cut for item in value if (cut := truncated(item)) is not None]
    return _truncated(value) if isinstance(value, str) else None


@lru_cache(_REMEMBERED)  # one visitor sends many events
def _truncated(text: str) -> str | None:
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(IPv6Address(int(address) >> 128 - IPV6_BITS << 128 - IPV6_BITS))
        address = address.ipv4_mapped
    return str(type(address)(int(address) >> 32 - IPV4_BITS << 32 - IPV4_BITS))
