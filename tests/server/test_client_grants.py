"""The file that says for whom the names in clients' certificates stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.tls.client_grants import GrantsWrong, read_grants
from store.access.certificates import CertificateGrant

GOOD = 'organization = "acme"\nscopes = ["release:write"]\n'


def read(folder: Path, text: str) -> dict[str, CertificateGrant]:
    file = folder / "clients.toml"
    file.write_text(text)
    return dict(read_grants(file))


def test_each_kind_of_name_stands_for_what_is_said_of_it(tmp_path: Path) -> None:
    grants = read(
        tmp_path,
        '[[client]]\nuri = "spiffe://example.com/CI"\norganization = "acme"\nscopes = ["release:write", "org:read"]\n'
        'projects = ["web"]\n'
        '[[client]]\ndns = "CI.example.com"\norganization = "acme"\nscopes = ["release:read"]\nall_projects = true\n'
        '[[client]]\nemail = "Ops@example.com"\nscopes = ["installation:admin", "org:admin"]\n',
    )
    assert grants == {
        "URI:spiffe://example.com/CI": CertificateGrant(
            "URI:spiffe://example.com/CI", "acme", ("org:read", "release:write"), projects=("web",)
        ),
        "DNS:ci.example.com": CertificateGrant("DNS:ci.example.com", "acme", ("release:read",), all_projects=True),
        "email:Ops@example.com": CertificateGrant("email:Ops@example.com", None, ("installation:admin", "org:admin")),
    }


def test_an_empty_file_stands_for_nobody(tmp_path: Path) -> None:
    assert read(tmp_path, "# nobody yet\n") == {}


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        (GOOD, "one of dns, uri and email"),
        ('dns = "a.example"\nuri = "spiffe://a"\n' + GOOD, "one of dns, uri and email"),
        ("dns = 5\n" + GOOD, "a text of 1 to 500"),
        ('dns = ""\n' + GOOD, "a text of 1 to 500"),
        (f'dns = "{"a" * 501}"\n' + GOOD, "a text of 1 to 500"),
        ('dns = "a.example\\u0000b"\n' + GOOD, "visible ASCII"),
        ('dns = "a example"\n' + GOOD, "visible ASCII"),
        ('dns = "bücher.example"\n' + GOOD, "visible ASCII"),
        ('dns = "*.example"\n' + GOOD, r"without \*"),
        ('uri = "ci.example"\n' + GOOD, "must be a URI"),
        ('email = "ci.example"\n' + GOOD, "must be an address"),
        ('dns = "a.example"\nname = "x"\n' + GOOD, "'name' is no key"),
        ('dns = "a.example"\norganization = "Not A Slug"\nscopes = ["org:read"]', "organization must be a slug"),
        ('dns = "a.example"\norganization = "acme"', "at least one scope"),
        ('dns = "a.example"\norganization = "acme"\nscopes = ["all"]', "'all' is no scope"),
        ('dns = "a.example"\norganization = "acme"\nscopes = "org:read"', "scopes must be a list"),
        ('dns = "a.example"\norganization = "acme"\nscopes = ["installation:admin"]', "only for the installation's"),
        ('dns = "a.example"\nscopes = ["org:read"]', "names no organization"),
        ('dns = "a.example"\nscopes = ["installation:admin"]\nall_projects = true', "installation's reach all"),
        ('dns = "a.example"\nscopes = ["installation:admin"]\nprojects = ["web"]', "installation's reach all"),
        ('dns = "a.example"\nall_projects = true\nprojects = ["web"]\n' + GOOD, "empty beside all_projects"),
        ('dns = "a.example"\nall_projects = "yes"\n' + GOOD, "true or false"),
        ('dns = "a.example"\nprojects = ["Not A Slug"]\n' + GOOD, "projects must be slugs"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_the_number_of_the_client(
    tmp_path: Path, client: str, problem: str
) -> None:
    first = f'[[client]]\ndns = "first.example"\n{GOOD}'
    with pytest.raises(GrantsWrong, match=rf"clients\.toml, client 2: .*{problem}") as raised:
        read(tmp_path, f"{first}[[client]]\n{client}")
    assert "\n" not in str(raised.value)


def test_one_name_stands_for_one(tmp_path: Path) -> None:
    twice = f'[[client]]\ndns = "a.example"\n{GOOD}[[client]]\ndns = "A.example"\n{GOOD}'
    with pytest.raises(GrantsWrong, match=r"client 2: DNS:a\.example stands there twice"):
        read(tmp_path, twice)


@pytest.mark.parametrize("text", ["client = 5", 'clients = "x"', f'[client]\ndns = "a"\n{GOOD}', "no toml", "\x00"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(GrantsWrong, match=r"clients\.toml (is no TOML|may hold nothing but)"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GrantsWrong, match="cannot be read: No such file"):
        read_grants(tmp_path / "missing.toml")
