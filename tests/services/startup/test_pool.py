from hypothesis import given
from hypothesis import strategies as st

from xapi.services.startup.pool import common_features, pool_cpu_info

words = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4).map(
    lambda parts: "-".join(f"{p:08x}" for p in parts)
)


@given(words, words)
def test_only_features_of_both_remain(one, other):
    both = common_features(one, other)
    assert both == common_features(other, one)
    assert common_features(both, one) == both


@given(words)
def test_a_host_has_its_own_features(one):
    assert common_features(one, one) == one


def test_a_pool_counts_cpus_together_and_offers_what_every_host_has():
    hosts = [
        {"vendor": "Acme", "cpu_count": "4", "socket_count": "1", "features_hvm": "0000000f-00000001"},
        {"vendor": "Acme", "cpu_count": "8", "socket_count": "2", "features_hvm": "00000006-00000000"},
    ]
    assert pool_cpu_info(hosts) == {
        "vendor": "Acme",
        "cpu_count": "12",
        "socket_count": "3",
        "features_hvm": "00000006-00000000",
    }


def test_a_host_that_says_nothing_counts_for_nothing():
    assert pool_cpu_info([{}]) == {"vendor": "", "cpu_count": "0", "socket_count": "0"}
