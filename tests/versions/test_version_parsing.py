"""What is read out of a version: package, numbers, prerelease and build (behaviour.md, Versions)."""

import pytest

from store.releases.version import MAX_NUMBER, Version, parse_version

SHA = "a86d127c4b2f23a0a862620280427dcc01c78676"
HUGE = str(MAX_NUMBER + 1)

# text: (package, (major, minor, patch, revision), prerelease, build code, build number, components)
SEMANTIC: dict[str, tuple[str, tuple[int, int, int, int], str, str | None, int | None, int]] = {
    # a package and one to four numbers
    "app@1": ("app", (1, 0, 0, 0), "", None, None, 1),
    "app@0": ("app", (0, 0, 0, 0), "", None, None, 1),
    "app@1.2": ("app", (1, 2, 0, 0), "", None, None, 2),
    "app@1.2.3": ("app", (1, 2, 3, 0), "", None, None, 3),
    "app@1.2.3.4": ("app", (1, 2, 3, 4), "", None, None, 4),
    "app@0.0.0.0": ("app", (0, 0, 0, 0), "", None, None, 4),
    "app@20240115": ("app", (20240115, 0, 0, 0), "", None, None, 1),
    "app@2024.01.15": ("app", (2024, 1, 15, 0), "", None, None, 3),
    # leading zeros
    "app@01.02.003.04": ("app", (1, 2, 3, 4), "", None, None, 4),
    "app@00.0": ("app", (0, 0, 0, 0), "", None, None, 2),
    "app@000000000000000000000000000001.5": ("app", (1, 5, 0, 0), "", None, None, 2),
    # without a package
    "1.2": ("", (1, 2, 0, 0), "", None, None, 2),
    "1.2.3": ("", (1, 2, 3, 0), "", None, None, 3),
    "1.2.3.4": ("", (1, 2, 3, 4), "", None, None, 4),
    "1.2.3-rc.1+45": ("", (1, 2, 3, 0), "rc.1", "45", 45, 3),
    "1.0rc1": ("", (1, 0, 0, 0), "rc1", None, None, 2),
    # the letter v
    "v1.2": ("", (1, 2, 0, 0), "", None, None, 2),
    "v1.2.3": ("", (1, 2, 3, 0), "", None, None, 3),
    "v1.2.3-rc.1+45": ("", (1, 2, 3, 0), "rc.1", "45", 45, 3),
    "v1.0rc1": ("", (1, 0, 0, 0), "rc1", None, None, 2),
    "app@v1.2.3": ("app", (1, 2, 3, 0), "", None, None, 3),
    "app@v1": ("app", (1, 0, 0, 0), "", None, None, 1),
    "v@v1": ("v", (1, 0, 0, 0), "", None, None, 1),
    # packages of every kind
    "@scope@1.2": ("@scope", (1, 2, 0, 0), "", None, None, 2),
    "@@1.2": ("@", (1, 2, 0, 0), "", None, None, 2),
    "org.example.App@1.2": ("org.example.App", (1, 2, 0, 0), "", None, None, 2),
    "my app@1.2": ("my app", (1, 2, 0, 0), "", None, None, 2),
    "app @1.2": ("app ", (1, 2, 0, 0), "", None, None, 2),
    "a:b+c%20@1.2": ("a:b+c%20", (1, 2, 0, 0), "", None, None, 2),
    "1.0@2.0": ("1.0", (2, 0, 0, 0), "", None, None, 2),
    "-@1": ("-", (1, 0, 0, 0), "", None, None, 1),
    "latest@1": ("latest", (1, 0, 0, 0), "", None, None, 1),
    "\u7248\u672c@1.2": ("\u7248\u672c", (1, 2, 0, 0), "", None, None, 2),
    f"{SHA}@1.2": (SHA, (1, 2, 0, 0), "", None, None, 2),
    # prereleases behind a hyphen
    "app@1.0-rc1": ("app", (1, 0, 0, 0), "rc1", None, None, 2),
    "app@1-rc1": ("app", (1, 0, 0, 0), "rc1", None, None, 1),
    "app@1-a1": ("app", (1, 0, 0, 0), "a1", None, None, 1),
    "app@1.0-1234": ("app", (1, 0, 0, 0), "1234", None, None, 2),
    "app@1.0-0": ("app", (1, 0, 0, 0), "0", None, None, 2),
    "app@1.0-RC": ("app", (1, 0, 0, 0), "RC", None, None, 2),
    "app@1.0--": ("app", (1, 0, 0, 0), "-", None, None, 2),
    "app@1.0--1": ("app", (1, 0, 0, 0), "-1", None, None, 2),
    "app@1.0-a-b": ("app", (1, 0, 0, 0), "a-b", None, None, 2),
    "app@1.0-alpha.1.b": ("app", (1, 0, 0, 0), "alpha.1.b", None, None, 2),
    "app@2020.2-1.2.3": ("app", (2020, 2, 0, 0), "1.2.3", None, None, 2),
    "app@1.0-0a": ("app", (1, 0, 0, 0), "0a", None, None, 2),
    "app@1.0-00a": ("app", (1, 0, 0, 0), "00a", None, None, 2),
    "app@1.0-01-": ("app", (1, 0, 0, 0), "01-", None, None, 2),
    "app@1.0-x.0.z": ("app", (1, 0, 0, 0), "x.0.z", None, None, 2),
    "app@1.2.3.4-beta": ("app", (1, 2, 3, 4), "beta", None, None, 4),
    f"app@1.0-{HUGE}": ("app", (1, 0, 0, 0), HUGE, None, None, 2),
    # prereleases attached to the numbers
    "app@1.0rc1": ("app", (1, 0, 0, 0), "rc1", None, None, 2),
    "app@1.0a": ("app", (1, 0, 0, 0), "a", None, None, 2),
    "app@1.0dev1": ("app", (1, 0, 0, 0), "dev1", None, None, 2),
    "app@1.0alpha.2": ("app", (1, 0, 0, 0), "alpha.2", None, None, 2),
    "app@1.0a01": ("app", (1, 0, 0, 0), "a01", None, None, 2),
    "app@1.0v2": ("app", (1, 0, 0, 0), "v2", None, None, 2),
    "app@1.2.3b-4": ("app", (1, 2, 3, 0), "b-4", None, None, 3),
    "app@1.0xRC": ("app", (1, 0, 0, 0), "xRC", None, None, 2),
    "app@0.0.0.4bfe251b96": ("app", (0, 0, 0, 4), "bfe251b96", None, None, 4),
    # build codes
    "app@1.2.3+45": ("app", (1, 2, 3, 0), "", "45", 45, 3),
    "app@7211+7211": ("app", (7211, 0, 0, 0), "", "7211", 7211, 1),
    "app@1.0+0": ("app", (1, 0, 0, 0), "", "0", 0, 2),
    "app@1.0+007": ("app", (1, 0, 0, 0), "", "007", 7, 2),
    "app@1.0+1.0.200": ("app", (1, 0, 0, 0), "", "1.0.200", None, 2),
    "app@1.0+whatever": ("app", (1, 0, 0, 0), "", "whatever", None, 2),
    "app@1.0+BUILD-code": ("app", (1, 0, 0, 0), "", "BUILD-code", None, 2),
    "app@1.0+-2020": ("app", (1, 0, 0, 0), "", "-2020", None, 2),
    "app@1.0+-0": ("app", (1, 0, 0, 0), "", "-0", None, 2),
    "app@1.0+1e3": ("app", (1, 0, 0, 0), "", "1e3", None, 2),
    "app@1.0+-": ("app", (1, 0, 0, 0), "", "-", None, 2),
    f"app@1.0+{MAX_NUMBER}": ("app", (1, 0, 0, 0), "", str(MAX_NUMBER), MAX_NUMBER, 2),
    f"app@1.0+{HUGE}": ("app", (1, 0, 0, 0), "", HUGE, None, 2),
    f"app@1.0+{'9' * 43}": ("app", (1, 0, 0, 0), "", "9" * 43, None, 2),
    f"app@1.0+{SHA}": ("app", (1, 0, 0, 0), "", SHA, None, 2),
    "app@1.0+202001011000": ("app", (1, 0, 0, 0), "", "202001011000", 202001011000, 2),
    "app@1.0rc1+20200101100": ("app", (1, 0, 0, 0), "rc1", "20200101100", 20200101100, 2),
    "@foo.bar--baz@1.2.3-dev+BUILD-code": ("@foo.bar--baz", (1, 2, 3, 0), "dev", "BUILD-code", None, 3),
    # the largest numbers
    f"app@{MAX_NUMBER}": ("app", (MAX_NUMBER, 0, 0, 0), "", None, None, 1),
    f"app@0.{MAX_NUMBER}.0.{MAX_NUMBER}": ("app", (0, MAX_NUMBER, 0, MAX_NUMBER), "", None, None, 4),
}

# text: (package for display, raw version)
OTHER: dict[str, tuple[str, str]] = {
    # one number without a package, or none at all
    "42": ("", "42"),
    "v42": ("", "v42"),
    "1-a1": ("", "1-a1"),
    "1+45": ("", "1+45"),
    "20240115": ("", "20240115"),
    "2024-01-15": ("", "2024-01-15"),
    "spring release 4": ("", "spring release 4"),
    "v": ("", "v"),
    # build hashes come first, numeric ones as well
    SHA: ("", SHA),
    f"app@{SHA}": ("app", SHA),
    "app@20210505090610352561": ("app", "20210505090610352561"),
    "app@123456789012": ("app", "123456789012"),
    "app@1234567890123456": ("app", "1234567890123456"),
    "123456789012": ("", "123456789012"),
    # not quite packages
    "app@": ("", "app@"),
    "@": ("", "@"),
    "@@": ("", "@@"),
    "@1.2.3": ("", "@1.2.3"),
    "@scope@": ("", "@scope@"),
    "app@@1.2": ("app", "@1.2"),
    "a@b@1.2": ("a", "b@1.2"),
    "app@1.2@3": ("app", "1.2@3"),
    # a package, and something else than a version
    "test@some_thing": ("test", "some_thing"),
    "hackweek@6f85d2f": ("hackweek", "6f85d2f"),
    "app@latest": ("app", "latest"),
    "app@ 1.2": ("app", " 1.2"),
    "app@1.2 (45)": ("app", "1.2 (45)"),
    # the letter v, only once and only small
    "V1.2.3": ("", "V1.2.3"),
    "app@V1.2.3": ("app", "V1.2.3"),
    "vv1.2": ("", "vv1.2"),
    "v.1.2": ("", "v.1.2"),
    "v-1.2": ("", "v-1.2"),
    "ver1.2": ("", "ver1.2"),
    # numbers
    "app@1.2.3.4.5": ("app", "1.2.3.4.5"),
    "app@1.": ("app", "1."),
    "app@1..2": ("app", "1..2"),
    "app@.1": ("app", ".1"),
    "app@1.x": ("app", "1.x"),
    "app@1.*": ("app", "1.*"),
    "app@-1.2": ("app", "-1.2"),
    "app@+1.2": ("app", "+1.2"),
    "app@1,2": ("app", "1,2"),
    "app@1_000.0": ("app", "1_000.0"),
    "app@0x10.0": ("app", "0x10.0"),
    "app@\u0661.\u0662": ("app", "\u0661.\u0662"),
    "app@\uff11.\uff12": ("app", "\uff11.\uff12"),
    f"app@{HUGE}.0": ("app", f"{HUGE}.0"),
    f"app@1.{HUGE}": ("app", f"1.{HUGE}"),
    f"app@1.2.{HUGE}": ("app", f"1.2.{HUGE}"),
    f"app@1.2.3.{HUGE}": ("app", f"1.2.3.{HUGE}"),
    "app@18446744073709551616.0.0": ("app", "18446744073709551616.0.0"),
    f"app@{'9' * 190}": ("app", "9" * 190),
    # prereleases
    "app@1a1": ("app", "1a1"),
    "app@1rc": ("app", "1rc"),
    "app@1.0RC1": ("app", "1.0RC1"),
    "app@1.0-": ("app", "1.0-"),
    "app@1.0-a.": ("app", "1.0-a."),
    "app@1.0-.a": ("app", "1.0-.a"),
    "app@1.0-a..b": ("app", "1.0-a..b"),
    "app@1.0-01": ("app", "1.0-01"),
    "app@1.0-00": ("app", "1.0-00"),
    "app@1.0-a.01": ("app", "1.0-a.01"),
    "app@1.0rc.01": ("app", "1.0rc.01"),
    "app@2020.05.26-01.38.42": ("app", "2020.05.26-01.38.42"),
    "app@1.0-a_b": ("app", "1.0-a_b"),
    "app@1.0-\u00e9": ("app", "1.0-\u00e9"),
    "app@1.0\u00e9": ("app", "1.0\u00e9"),
    "app@1.0_rc1": ("app", "1.0_rc1"),
    "app@1.0 rc1": ("app", "1.0 rc1"),
    "app@1.0~rc1": ("app", "1.0~rc1"),
    # build codes
    "app@1.0+": ("app", "1.0+"),
    "app@1.0+a+b": ("app", "1.0+a+b"),
    "app@1.0+.a": ("app", "1.0+.a"),
    "app@1.0+a.": ("app", "1.0+a."),
    "app@1.0+a..b": ("app", "1.0+a..b"),
    "app@1.0+a_b": ("app", "1.0+a_b"),
    "app@1.0+ 1": ("app", "1.0+ 1"),
}


@pytest.mark.parametrize("text", SEMANTIC)
def test_a_semantic_version_fills_every_column(text: str) -> None:
    version = parse_version(text)
    package, numbers, prerelease, build_code, build_number, components = SEMANTIC[text]
    assert version.is_semver
    assert version.package == version.display_package == package
    assert (version.major, version.minor, version.patch, version.revision) == numbers
    assert version.prerelease == prerelease
    assert version.build_code == build_code
    assert version.build_number == build_number
    assert version.components == components
    assert version.text == text
    assert version.raw == (text[len(package) + 1 :] if package else text)


@pytest.mark.parametrize("text", OTHER)
def test_any_other_version_fills_no_column_but_keeps_its_package_for_display(text: str) -> None:
    display_package, raw = OTHER[text]
    assert parse_version(text) == Version(text=text, raw=raw, display_package=display_package)
    assert not parse_version(text).is_semver


@pytest.mark.parametrize("length", [12, 16, 20, 32, 40, 64])
def test_hexadecimal_text_of_a_commit_ids_length_is_a_build_hash(length: int) -> None:
    for digits in ("0123456789abcdef", "0123456789ABCDEF", "1"):
        text = (digits * 64)[:length]
        assert parse_version(text).build_hash == text
        assert parse_version(f"app@{text}").build_hash == text
        assert parse_version(f"app@1.0+{text}").build_hash == text
        assert not parse_version(f"app@{text}").is_semver


@pytest.mark.parametrize("length", [7, 11, 13, 15, 17, 19, 21, 31, 33, 39, 41, 63, 65])
def test_hexadecimal_text_of_any_other_length_is_no_build_hash(length: int) -> None:
    assert parse_version("a" * length).build_hash is None
    assert parse_version("app@1.0+" + "a" * length).build_hash is None


@pytest.mark.parametrize("text", ["g" * 40, "a" * 39 + "-", "a" * 11 + "\u0661", "v" + "1" * 11, "1.0+" + "g" * 12])
def test_a_commit_ids_length_alone_makes_no_build_hash(text: str) -> None:
    assert parse_version(text).build_hash is None


def test_the_build_hash_is_the_build_codes_before_the_versions() -> None:
    assert parse_version(f"app@1.0+{SHA}").build_hash == SHA
    assert parse_version("app@1.0+45").build_hash is None
    assert parse_version(f"{SHA}+45").build_hash is None


def test_parsing_gives_an_answer_for_texts_that_no_release_may_have() -> None:
    for text in ("", " ", "/", "\x00@1.0", "\ud800", "1.2.3\n", "app@1.0\n"):
        assert parse_version(text).text == text
    assert not parse_version("1.2.3\n").is_semver
    assert not parse_version("app@1.0\n").is_semver
