"""Where a request may go: https only unless loopback, never to a link-local or metadata address, also after the name is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address

_METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
# Metadata and platform services of clouds that lie outside the link-local ranges: Amazon (IPv6), Alibaba, Oracle, Azure.
_METADATA_ADDRESSES = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")))
_NAT64 = ip_network("64:ff9b::/96")


class AddressRefused(Exception):
    """A request was about to go where none may go."""


def refuse_url(url: str) -> None:
    """Raise `AddressRefused` for a URL that may not be asked, as far as its text tells; never shows more than scheme and host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise AddressRefused("it is not a URL") from None
    if not host or parts.scheme not in ("https", "http"):
        raise AddressRefused("it is not an http or https URL with a host")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("it carries a user name or password; write them under auth")
    if parts.scheme == "http" and not is_loopback(host):
        raise AddressRefused(f"http://{host} is not encrypted: only https is allowed, and http on this machine's own loopback")
    if host.rstrip(".").lower() in _METADATA_NAMES:
        raise AddressRefused(f"{host} is a cloud's metadata service")
    if (address := _literal(host)) is not None:
        refuse_address(address, host)


def is_loopback(host: str) -> bool:
    """Tell whether a host, as a URL names it, is this machine itself."""
    address = _literal(host)
    return address.is_loopback if address is not None else host.lower() == "localhost" or host.lower().endswith(".localhost")


def proxy_for(host: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment names for https to a host; None for this machine and what `NO_PROXY` lists."""
    host = host.lower().rstrip(".")
    exempt = [each.strip().lower().lstrip("*.") for each in _either(environment, "NO_PROXY").split(",")]
    if is_loopback(host) or "*" in _either(environment, "NO_PROXY").split(","):
        return None
    if any(each and (host == each or host.endswith(f".{each}")) for each in exempt):
        return None
    return _either(environment, "HTTPS_PROXY") or _either(environment, "ALL_PROXY") or None


def _either(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.lower(), "").strip() or environment.get(name, "").strip()


def refuse_address(address: Address, host: str, *, only_public: bool = False) -> None:
    """Raise `AddressRefused` for an address that no request may reach; with `only_public` for any in a private network, too."""
    for each in _meanings(address):
        if each.is_link_local or each in _METADATA_ADDRESSES:
            raise AddressRefused(f"{host} is at {address}, which is link-local or a cloud's metadata service")
        if each.is_unspecified or each.is_multicast or (each.is_loopback and not is_loopback(host)):
            raise AddressRefused(f"{host} is at {address}, which is no place of another machine")
        if only_public and not each.is_global:
            raise AddressRefused(f"{host} is at {address}, in a private network, to which no redirect may lead")
    if is_loopback(host) and not address.is_loopback:
        raise AddressRefused(f"{host} is at {address}, which is not this machine's loopback")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _meanings(address: Address) -> list[Address]:
    """Return the address, and the IPv4 address that an IPv6 one may stand for."""
    found: list[Address] = [address]
    if isinstance(address, IPv6Address):
        found += [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
        if address in _NAT64:
            found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found
