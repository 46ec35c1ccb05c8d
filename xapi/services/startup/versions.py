"""What this toolstack says of its version: host.software_version and the product's lines of the inventory.

Clients decide by these which features to use: automation and cloud controllers take only product brands that they
know, and GUIs compare product_version, platform_version and xapi_build as dotted numbers. So these keys name the
release whose interface is served; `toolstack` tells what really runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from xapi import __version__

API_MAJOR = 2
API_MINOR = 23
API_VENDOR = "XenSource"
CONTRACT_VERSION = "26.17.0"  # the release of the original toolstack whose data model is served
DATABASE_SCHEMA = "5.909"
RELEASE_DATE = "2026-11-20"


@dataclass(frozen=True, slots=True)
class Product:
    """The product that clients are told of; versions are three dotted numbers."""

    brand: str = "XenServer"
    name: str = "xenserver"
    version: str = "8.4.0"
    version_text: str = "8"
    platform_name: str = "XCP"
    platform_version: str = "3.4.0"
    build_number: str = __version__


def software_version(
    product: Product, *, hostname: str, hypervisor_version: str, linux_version: str, network_backend: str
) -> dict[str, str]:
    """The map host.software_version."""
    return {
        "product_brand": product.brand,
        "product_version": product.version,
        "product_version_text": product.version_text,
        "product_version_text_short": product.version_text,
        "platform_name": product.platform_name,
        "platform_version": product.platform_version,
        "build_number": product.build_number,
        "hostname": hostname,
        "date": RELEASE_DATE,
        "dbv": "0.0.1",
        "xapi": ".".join(CONTRACT_VERSION.split(".")[:2]),
        "xapi_build": CONTRACT_VERSION,
        "xen": hypervisor_version,
        "linux": linux_version,
        "xencenter_min": f"{API_MAJOR}.0",  # the oldest interface of a GUI that is let in
        "xencenter_max": f"{API_MAJOR}.{API_MINOR}",
        "network_backend": network_backend,
        "db_schema": DATABASE_SCHEMA,
        "toolstack": f"xapi {__version__} for Python",
    }


def product_lines(product: Product) -> dict[str, str]:
    """The lines of an inventory that tell of the product."""
    return {
        "PRODUCT_BRAND": product.brand,
        "PRODUCT_NAME": product.name,
        "PRODUCT_VERSION": product.version,
        "PRODUCT_VERSION_TEXT": product.version_text,
        "PRODUCT_VERSION_TEXT_SHORT": product.version_text,
        "PLATFORM_NAME": product.platform_name,
        "PLATFORM_VERSION": product.platform_version,
        "BUILD_NUMBER": product.build_number,
        "COMPANY_NAME": "xapi project",
        "COMPANY_NAME_SHORT": "xapi",
        "BRAND_CONSOLE": "xsconsole",
    }
