"""How addresses are shared out, and what is refused."""

import ipaddress

import pytest
from ansible_collections.stackyard.aws.plugins.module_utils.network_plan import (
    NEEDED_ENDPOINTS,
    network_problems,
    subnets,
)

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
GOOD = {
    "cidr": "10.42.0.0/16",
    "zones": ZONES[:2],
    "subnets": [],
    "nat": "one",
    "interface_endpoints": [],
    "vpc_id": "",
    "vpc_tags": {},
}


@pytest.mark.parametrize("cidr", ["10.42.0.0/16", "192.168.4.0/22", "172.16.1.0/24"])
def test_subnets_fit_do_not_overlap_and_are_large_enough_for_aws(cidr):
    blocks = [ipaddress.ip_network(subnet["cidr"]) for subnet in subnets(cidr, ZONES)]
    assert len(blocks) == 9
    assert all(block.subnet_of(ipaddress.ip_network(cidr)) and block.prefixlen <= 28 for block in blocks)
    assert not any(a.overlaps(b) for i, a in enumerate(blocks) for b in blocks[:i])


def test_a_third_zone_moves_nothing():
    two = {subnet["name"]: subnet["cidr"] for subnet in subnets("10.42.0.0/16", ZONES[:2])}
    three = {subnet["name"]: subnet["cidr"] for subnet in subnets("10.42.0.0/16", ZONES)}
    assert two.items() <= three.items()


def test_a_good_network_has_no_problem():
    assert network_problems(GOOD) == []
    assert network_problems(GOOD | {"nat": "none", "interface_endpoints": list(NEEDED_ENDPOINTS)}) == []
    assert network_problems(GOOD | {"nat": "none", "machines_tier": "public"}) == []
    assert network_problems(GOOD | {"subnets": subnets("10.42.0.0/16", ZONES[:2])}) == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"cidr": "10.42.0.0/15"}, "network_cidr"),
        ({"cidr": "10.42.0.1/16"}, "network_cidr"),
        ({"cidr": None}, "network_cidr"),
        ({"zones": ZONES[:1]}, "network_zones"),
        ({"zones": None}, "network_zones"),
        ({"zones": [*ZONES, "us-east-1d"]}, "network_zones"),
        ({"nat": "none"}, "network_interface_endpoints"),
        ({"subnets": [{"name": "a"}]}, "network_subnets[0]"),
    ],
)
def test_what_could_not_work_is_named(wrong, named):
    problems = network_problems(GOOD | wrong)
    assert problems
    assert named in problems[0]
    assert problems[0].endswith(".")


def test_the_operator_s_own_names_are_used():
    assert network_problems(GOOD | {"cidr": "x"}, "my_stack_")[0].startswith("my_stack_cidr is")
