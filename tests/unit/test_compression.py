"""Which clients accept gzip, by their Accept-Encoding."""

from __future__ import annotations

import pytest

from edge.compression import takes_gzip


@pytest.mark.parametrize(
    "accepted", ["gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.8, *;q=0.1", "identity,gzip ; q=0.001"]
)
def test_gzip_is_taken(accepted: str) -> None:
    assert takes_gzip(accepted)


@pytest.mark.parametrize("accepted", ["", "identity", "br, deflate", "gzip;q=0", "gzip; q=0.000", "*", "xgzip", ",;,"])
def test_gzip_is_not_taken(accepted: str) -> None:
    assert not takes_gzip(accepted)
