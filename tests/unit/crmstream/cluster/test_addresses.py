"""Which addresses a cluster may have, and which workers are a host's."""

from pathlib import Path

import pytest

from contracts.errors import SettingsError
from crmstream.cluster.addresses import Cluster, parse_addresses, plan_cluster, resolved

NAMES = {"a": "10.0.0.1", "b": "10.0.0.2", "here": "127.0.1.1", "all": "0.0.0.0", "gone": ""}
HERE = {"127.0.0.1", "127.0.1.1", "10.0.0.1", "fd00::1"}


def plan(addresses: str, index: str | None = None) -> Cluster:
    return plan_cluster(parse_addresses(addresses), index, lambda host: NAMES.get(host, host), HERE)


def test_a_host_runs_the_workers_whose_address_it_has() -> None:
    cluster = plan("b:7000, a:7000, a:7001")
    assert cluster.own == (1, 2)
    assert not cluster.leads
    assert cluster.addresses == ("b:7000", "10.0.0.1:7000", "10.0.0.1:7001")
    assert cluster.home(Path("data")) == Path("data/hosts/worker-1")


def test_a_name_that_is_not_known_yet_is_another_host() -> None:
    assert plan("a:7000,gone:7000").own == (0,)


def test_the_host_of_the_first_worker_leads() -> None:
    cluster = plan("[fd00::1]:7000,[fd00::2]:7000")
    assert cluster.leads
    assert cluster.addresses == ("[fd00::1]:7000", "[fd00::2]:7000")
    assert cluster.home(Path("data")) == Path("data")


def test_several_on_one_host_by_number() -> None:
    assert plan("127.0.0.1:7000,127.0.0.1:7001", "1").own == (1,)


@pytest.mark.parametrize(
    ("addresses", "index", "problem"),
    [
        ("a:7000", None, "two or more workers"),
        ("a:7000,a:7000", None, "the same address"),
        ("a:7000,b", None, "'b' is not host:port"),
        ("a:7000,b:0", None, "'b:0' is not host:port"),
        ("a:7000,b:70000", None, "is not host:port"),
        ("a:7000,0.0.0.0:7000", None, "all addresses of a host"),
        ("all:7000,b:7000", None, "all addresses of a host"),
        ("a:7000,[::]:7000", None, "all addresses of a host"),
        ("here:7000,b:7000", None, "loopback address here"),
        ("b:7000,10.0.0.3:7000", None, "none of the addresses is one of this host"),
        ("a:7000,b:7000", "1", "which is not one of this host"),
        ("a:7000,b:7000", "2", "from 0 to 1"),
        ("a:7000,b:7000", "one", "from 0 to 1"),
    ],
)
def test_wrong_addresses_are_refused(addresses: str, index: str | None, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        plan(addresses, index)


def test_names_are_looked_up() -> None:
    assert resolved("localhost") in {"127.0.0.1", "::1"}
    assert resolved("nowhere.invalid") == ""
