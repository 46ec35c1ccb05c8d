"""The pool's own row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xapi.datamodel.classes import Host, Pool
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.services.startup.restrictions import restrictions

FEATURE_SETS = ("features_pv", "features_hvm", "features_pv_host", "features_hvm_host")


def prepare_pool(transaction: Transaction, this_host: Ref[Host]) -> Ref[Pool]:
    """Make the one pool, with this host as its coordinator, or bring it up to date."""
    known = transaction.all(Pool)
    pool = known[0] if known else transaction.get(Pool, _make_pool(transaction, this_host))
    values: dict[str, object] = {
        "restrictions": restrictions(),
        "cpu_info": pool_cpu_info(host.cpu_info for host in transaction.all(Host)),
        "ha_cluster_stack": pool.ha_cluster_stack or "xhad",
    }
    if pool.master == NULL or transaction.find(Host, pool.master) is None:
        values["master"] = this_host
    transaction.update(Pool, pool.ref, **values)
    return pool.ref


def _make_pool(transaction: Transaction, this_host: Ref[Host]) -> Ref[Pool]:
    return transaction.create(
        Pool,
        master=this_host,
        other_config={"memory-ratio-hvm": "0.25", "memory-ratio-pv": "0.25"},
        wlb_password=NULL,
    )


def pool_cpu_info(hosts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What all hosts together offer: CPUs are counted together, and only features that each one has remain."""
    merged: dict[str, str] = {"vendor": "", "cpu_count": "0", "socket_count": "0"}
    for info in hosts:
        merged["vendor"] = merged["vendor"] or info.get("vendor", "")
        for key in ("cpu_count", "socket_count"):
            merged[key] = str(int(merged[key]) + int(info.get(key) or "0"))
        for key in FEATURE_SETS:
            if key in info:
                merged[key] = common_features(merged[key], info[key]) if key in merged else info[key]
    return merged


def common_features(one: str, other: str) -> str:
    """The features in both of two sets, each written as 32-bit words in hexadecimal, joined by hyphens."""
    words = zip(_words(one), _words(other), strict=False)
    return "-".join(f"{left & right:08x}" for left, right in words)


def _words(features: str) -> list[int]:
    return [int(word, 16) for word in features.split("-") if word]
