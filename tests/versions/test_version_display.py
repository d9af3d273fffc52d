"""How a version is shown to people (behaviour.md, Versions)."""

import pytest

from store.releases.version import MAX_NUMBER, parse_version

SHA = "a86d127c4b2f23a0a862620280427dcc01c78676"

SHOWN = {
    "app@1.2.3": "1.2.3",
    "1.2.3": "1.2.3",
    "v1.2.3": "v1.2.3",
    "app@v1.2.3+45": "v1.2.3 (45)",
    "app@1": "1",
    "app@01.02.003.4-alpha+1234": "01.02.003.4-alpha (1234)",
    "@foo.bar.baz--blah@1.2.3-dev+BUILD-code": "1.2.3-dev (BUILD-code)",
    "app@1.0a+build-code": "1.0a (build-code)",
    "app@1.0-a+build-code": "1.0-a (build-code)",
    "app@1.0rc1+1.2.3": "1.0rc1 (1.2.3)",
    "app@7211+7211": "7211 (7211)",
    "1.0+0": "1.0 (0)",
    f"app@1.0a+{SHA}": "1.0a (a86d127c4b2f)",
    f"1.0+{SHA.upper()}": "1.0 (A86D127C4B2F)",
    "app@1.0+202001011000": "1.0 (202001011000)",
    "app@1.0+20200101100": "1.0 (20200101100)",
    f"app@1.0+{SHA}0": f"1.0 ({SHA}0)",
    SHA: "a86d127c4b2f",
    f"app@{SHA}": "a86d127c4b2f",
    "app@20210505090610352561": "202105050906",
    "123456789012": "123456789012",
    "app@some_thing": "app@some_thing",
    "app@2020.05.26-01.38.42": "app@2020.05.26-01.38.42",
    "app@": "app@",
    "42": "42",
    "spring release 4": "spring release 4",
    "1.0 (45)": "1.0 (45)",
    f"app@{MAX_NUMBER + 1}.0+{SHA}": f"app@{MAX_NUMBER + 1}.0+{SHA}",
    "\u7248\u672c": "\u7248\u672c",
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_version_is_shown_as(text: str) -> None:
    assert parse_version(text).description == SHOWN[text]
