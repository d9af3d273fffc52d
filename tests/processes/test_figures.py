"""What a supervisor shows of its workers."""

from __future__ import annotations

from server.processes.figures import merged

ONE = """# HELP calls_total Calls that ended
# TYPE calls_total counter
calls_total{method="GetRelease",code="OK"} 3.0
# HELP seconds How long
# TYPE seconds histogram
seconds_bucket{le="0.5"} 1.0
seconds_bucket{le="+Inf"} 2.0
seconds_count 2.0
seconds_sum 1.5
"""
TWO = """# HELP calls_total Calls that ended
# TYPE calls_total counter
calls_total{method="GetRelease",code="OK"} 4.0
# HELP streams Streams just now
# TYPE streams gauge
streams 1.0
"""


def test_each_family_is_there_once_and_each_sample_says_whose_it_is() -> None:
    families = {family.name: family for family in merged({2: TWO, 1: ONE})}
    assert set(families) == {"calls", "seconds", "streams"}
    calls = [(sample.name, sample.labels, sample.value) for sample in families["calls"].samples]
    assert calls == [
        ("calls_total", {"worker": "1", "method": "GetRelease", "code": "OK"}, 3.0),
        ("calls_total", {"worker": "2", "method": "GetRelease", "code": "OK"}, 4.0),
    ]
    assert families["seconds"].type == "histogram"
    assert {sample.name for sample in families["seconds"].samples} == {"seconds_bucket", "seconds_count", "seconds_sum"}
    assert families["calls"].documentation == "Calls that ended"
