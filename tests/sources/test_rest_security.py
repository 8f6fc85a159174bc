"""Where a REST source goes and what it takes along: no internal place, no key on another host, no secret in a file or text."""

from __future__ import annotations

import base64
import socket
import threading
import traceback

import httpcore
import httpx
import pytest
from pydantic import ValidationError
from scripted_api import SECRET, Asked, Says, ScriptedApi, birds, header_link, scripted_api

from ducklift.errors import ConfigurationError, CredentialsMissing, ExtractionIncomplete, SourceUnavailable, StreamRefused
from ducklift.settings import Connection
from ducklift.sources.rest_guard import AddressRefused, proxy_for
from ducklift.sources.rest_transport import GuardedTransport
from ducklift.sources.secret_refs import Hidden

BIRDS = birds(25)
KEY = {"BIRDS_TOKEN": SECRET}
BEARER = {"type": "bearer", "token": {"env": "BIRDS_TOKEN"}}
TOKEN_URL = "/oauth/token"


@pytest.fixture
def elsewhere():
    """Another origin: the same machine, another port."""
    with scripted_api() as other:
        yield other


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://api.example.com", "is not encrypted"),
        ("http://10.0.0.1/", "is not encrypted"),
        ("ftp://api.example.com", "not an http or https URL"),
        ("file:///etc/passwd", "not an http or https URL"),
        ("api.example.com", "not an http or https URL"),
        ("https://", "not an http or https URL"),
        ("https://me:pw@api.example.com", "carries a user name or password"),
        ("https://169.254.169.254/latest", "link-local or a cloud's metadata"),
        ("https://[fe80::1%25eth0]/", "link-local"),
        ("https://[::ffff:169.254.169.254]/", "link-local"),
        ("https://[64:ff9b::a9fe:a9fe]/", "link-local"),
        ("https://[fd00:ec2::254]/", "metadata"),
        ("https://100.100.100.200/", "metadata"),
        ("https://metadata.google.internal/", "metadata"),
        ("https://METADATA.google.internal./", "metadata"),
        ("https://0.0.0.0/", "no place of another machine"),
        ("https://api.example.com/?key=1", "base_url has no parameters"),
    ],
)
def test_a_base_url_that_may_not_be_asked_is_refused_in_the_file(rest, base_url, words):
    with pytest.raises(ValidationError, match=words) as caught:
        rest.source("birds", base_url=base_url)

    assert "pw@" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "addresses", "refused"),
    [
        ("api.example.com", ["169.254.169.254"], True),
        ("api.example.com", ["93.184.216.34", "fe80::1"], True),
        ("api.example.com", ["::ffff:169.254.169.254"], True),
        ("api.example.com", ["127.0.0.1"], True),
        ("api.example.com", ["0.0.0.0"], True),
        ("localhost", ["10.0.0.1"], True),
        ("elsewhere.example.com", ["10.0.0.1"], True),
        ("localhost", ["127.0.0.1"], True),
        ("api.example.com", ["10.0.0.1"], False),
        ("elsewhere.example.com", ["93.184.216.34"], False),
    ],
)
def test_a_name_is_refused_by_the_addresses_it_resolves_to(host, addresses, refused, monkeypatch):
    """A redirect may lead to a stranger, which then has to be public; what the file itself names may lie in a private network."""
    tried = []

    def connect(_self, address, port, *_rest, **_options):
        tried.append(address)
        raise httpcore.ConnectError("far away")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    transport = GuardedTransport(["api.example.com"], {}, lambda _host, _port: addresses)

    with pytest.raises(AddressRefused if refused else httpcore.ConnectError):
        transport.handle_request(httpx.Request("GET", f"https://{host}/", extensions={"timeout": {}}))

    assert tried == ([] if refused else addresses)


@pytest.mark.parametrize(
    ("host", "environment", "proxy"),
    [
        ("api.example.com", {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("api.example.com", {"https_proxy": "a:1", "HTTPS_PROXY": "b:2"}, "a:1"),
        ("api.example.com", {"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("api.example.com", {"HTTPS_PROXY": "p:1", "NO_PROXY": "localhost, .example.com"}, None),
        ("api.example.com", {"HTTPS_PROXY": "p:1", "no_proxy": "api.example.com"}, None),
        ("api.example.com", {"HTTPS_PROXY": "p:1", "NO_PROXY": "*"}, None),
        ("notexample.com", {"HTTPS_PROXY": "p:1", "NO_PROXY": "example.com"}, "p:1"),
        ("127.0.0.1", {"HTTPS_PROXY": "p:1"}, None),
        ("api.example.com", {"HTTP_PROXY": "p:1"}, None),
    ],
)
def test_the_environments_proxy_is_found_as_other_programs_find_it(host, environment, proxy):
    assert proxy_for(host, environment) == proxy


@pytest.mark.parametrize("proxy", ["socks5://me:pr0xy@p:1", "http://me:pr0xy@p:none", "http://"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(rest, proxy):
    rest.environment = {"HTTPS_PROXY": proxy}

    with pytest.raises(ConfigurationError, match="the environment's proxy is not") as caught:
        rest("birds", base_url="https://birds.invalid")

    assert "pr0xy" not in str(caught.value)


def test_requests_go_through_the_proxy_and_its_password_shows_nowhere(rest):
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        rest.environment = {"HTTPS_PROXY": f"http://me:pr0xy%2Fpw@127.0.0.1:{listener.getsockname()[1]}"}
        with pytest.raises(SourceUnavailable, match="the proxy of the environment refuses") as caught:
            rest("birds", base_url="https://birds.invalid", retries={"attempts": 1})
        thread.join()

    assert heard[0].startswith(b"CONNECT birds.invalid:443 HTTP/1.1")
    assert base64.b64encode(b"me:pr0xy/pw") in heard[0]
    assert "pr0xy" not in "".join(traceback.format_exception(caught.value))


def test_a_redirect_on_the_origin_is_followed_with_the_credentials(rest):
    rest.environment = KEY
    rest.api.on("/birds", Says(status=308, headers={"location": "/v2/birds?all=1"}))
    rest.api.on("/v2/birds", BIRDS)

    assert rest("birds", auth=BEARER) == BIRDS
    assert [asked.headers["authorization"] for asked in rest.api.asked] == [f"Bearer {SECRET}"] * 2
    assert rest.queries[1] == {"all": "1"}


@pytest.mark.parametrize(
    "auth",
    [
        BEARER,
        {"type": "api_key", "name": "X-Key", "api_key": {"env": "BIRDS_TOKEN"}},
        {"type": "api_key", "name": "key", "location": "query", "api_key": {"env": "BIRDS_TOKEN"}},
    ],
    ids=["bearer", "header", "query"],
)
def test_a_redirect_to_another_origin_takes_no_credentials_along(rest, elsewhere: ScriptedApi, auth):
    rest.environment = KEY
    rest.api.on("/birds", Says(status=302, headers={"location": f"{elsewhere.url}/store/birds"}))
    elsewhere.on("/store/birds", BIRDS)

    assert rest("birds", auth=auth, headers={"X-Tenant": {"env": "BIRDS_TOKEN"}}) == BIRDS
    (asked,) = elsewhere.asked
    assert SECRET not in str(asked)
    assert {"authorization", "x-key", "x-tenant"}.isdisjoint(asked.headers)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://api.example.com/", "is not encrypted"),
        ("http://169.254.169.254/latest/meta-data", "may not be asked"),
        ("https://169.254.169.254/latest/meta-data", "link-local"),
        ("https://metadata.google.internal/", "metadata"),
        ("file:///etc/passwd", "not an http or https URL"),
        ("https://user:pw@api.example.com/", "user name or password"),
    ],
)
def test_a_redirect_to_a_place_that_may_not_be_asked_is_refused(rest, location, words):
    rest.api.on("/birds", Says(status=302, headers={"location": location}))

    with pytest.raises(ConfigurationError, match=words):
        rest("birds")

    assert len(rest.api.asked) == 1


def test_redirects_in_a_circle_and_of_a_body_are_refused(rest, elsewhere):
    rest.api.on("/birds", Says(status=302, headers={"location": "/birds"}))
    with pytest.raises(StreamRefused, match="redirects more than 5 times"):
        rest("birds")

    rest.api.on("/birds", Says(status=307, headers={"location": f"{elsewhere.url}/birds"}))
    with pytest.raises(StreamRefused, match="redirects a POST"):
        rest({"name": "birds", "endpoint": {"method": "POST", "json": {"q": 1}}})
    assert elsewhere.asked == []


def test_a_next_link_that_leaves_the_origin_is_never_asked(rest, elsewhere):
    rest.api.on("/birds", Says(BIRDS, headers={"link": f'<{elsewhere.url}/birds>; rel="next"'}))

    with pytest.raises(ExtractionIncomplete, match="another origin"):
        rest("birds")

    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("auth", "sees"),
    [
        (BEARER, lambda asked: asked.headers["authorization"] == f"Bearer {SECRET}"),
        ({"token": {"env": "BIRDS_TOKEN"}}, lambda asked: asked.headers["authorization"] == f"Bearer {SECRET}"),
        ({"type": "api_key", "name": "X-Key", "api_key": {"env": "BIRDS_TOKEN"}}, lambda asked: asked.headers["x-key"] == SECRET),
        (
            {"type": "api_key", "name": "key", "location": "query", "api_key": {"env": "BIRDS_TOKEN"}},
            lambda asked: asked.query["key"] == SECRET,
        ),
        (
            {"type": "http_basic", "username": "me", "password": {"env": "BIRDS_TOKEN"}},
            lambda asked: httpx.BasicAuth("me", SECRET)._auth_header == asked.headers["authorization"],
        ),
    ],
    ids=["bearer", "short", "header", "query", "basic"],
)
def test_every_request_bears_the_credentials(rest, auth, sees):
    rest.environment = KEY
    rest.api.on("/birds", header_link(BIRDS))

    assert rest("birds", auth=auth) == BIRDS
    assert [sees(asked) for asked in rest.api.asked] == [True] * 3
    assert SECRET in rest.told_secrets
    assert SECRET not in str(rest.report)


def test_a_form_may_carry_a_secret_from_its_place(rest):
    rest.environment = KEY
    rest.api.on("/birds", BIRDS)
    rest({"name": "birds", "endpoint": {"method": "POST", "data": {"user": "me", "password": {"env": "BIRDS_TOKEN"}}}})

    assert rest.api.asked[0].form == {"user": "me", "password": SECRET}


def test_a_connection_goes_before_the_environment_and_its_extra_may_hold_the_secret(rest):
    rest.environment = {"BIRDS_TOKEN": "of the environment"}
    rest.connection = Connection(login="me", password="of the connection", extra={"token": "of the extra"})
    rest.api.on("/birds", BIRDS)
    for ref in ({"connection": "birds"}, {"connection": "birds", "env": "BIRDS_TOKEN"}, {"connection": "birds", "field": "token"}):
        rest("birds", auth={"token": ref})
    rest.connection = None
    rest("birds", auth={"token": {"connection": "birds", "env": "BIRDS_TOKEN"}})

    sent = [asked.headers["authorization"].removeprefix("Bearer of the ") for asked in rest.api.asked]
    assert sent == ["connection", "connection", "extra", "environment"]


def test_missing_credentials_name_every_place_that_was_looked_at(rest):
    with pytest.raises(
        CredentialsMissing, match="field 'password' of the Airflow connection 'birds' and the environment variable BIRDS_TOKEN"
    ):
        rest("birds", auth={"token": {"connection": "birds", "env": "BIRDS_TOKEN"}})

    assert rest.api.asked == []


@pytest.mark.parametrize(
    "client",
    [
        {"auth": {"token": SECRET}},
        {"auth": {"type": "http_basic", "username": "me", "password": SECRET}},
        {"auth": {"type": "api_key", "api_key": SECRET}},
        {"auth": {"type": "oauth2_client_credentials", "access_token_url": "https://x.y", "client_id": "a", "client_secret": SECRET}},
        {"headers": {"Authorization": SECRET}},
        {"headers": {"X-Api-Key": SECRET}},
        {"defaults": {"endpoint": {"params": {"api_key": SECRET}}}},
        {"defaults": {"endpoint": {"params": {"access_token": SECRET}}}},
        {"defaults": {"endpoint": {"method": "POST", "data": {"password": SECRET}}}},
        {"defaults": {"endpoint": {"method": "POST", "json": {"login": {"password": SECRET}}}}},
    ],
    ids=str,
)
def test_a_secret_written_out_is_refused_without_being_shown(rest, client):
    with pytest.raises(ValidationError, match="never stands in a pipeline file") as caught:
        rest.source("birds", **client)

    assert SECRET not in str(caught.value)


def grants(asked: Asked) -> Says:
    """Give out a token to the right client."""
    if asked.form.get("client_secret") != SECRET or asked.form.get("grant_type") != "client_credentials":
        return Says({"error": "invalid_client", "error_description": f"{asked.form} is wrong"}, 401)
    return Says({"access_token": "t0ken-1", "expires_in": 3600, "scope": asked.form.get("scope")})


def oauth(rest, **more):
    auth = {"type": "oauth2_client_credentials", "client_id": "me", "client_secret": {"env": "BIRDS_TOKEN"}}
    return {**auth, "access_token_url": rest.api.url + TOKEN_URL, "access_token_request_data": {"scope": "read"}, **more}


def test_a_token_is_asked_for_once_and_used_for_all_pages(rest):
    rest.environment = KEY
    rest.api.on(TOKEN_URL, grants)
    rest.api.on("/birds", header_link(BIRDS))

    assert rest("birds", auth=oauth(rest)) == BIRDS
    assert rest.paths == [TOKEN_URL, "/birds", "/birds", "/birds"]
    assert rest.api.asked[0].form["scope"] == "read"
    assert {asked.headers.get("authorization") for asked in rest.api.asked[1:]} == {"Bearer t0ken-1"}
    assert "t0ken-1" in rest.told_secrets


def test_a_token_that_is_refused_is_renewed_once(rest):
    rest.environment = KEY
    rest.api.on(TOKEN_URL, grants)
    rest.api.script(TOKEN_URL, Says({"access_token": "old", "expires_in": 3600}))
    pages = header_link(BIRDS)
    rest.api.on("/birds", lambda asked: pages(asked) if asked.headers["authorization"] == "Bearer t0ken-1" else Says(status=401))

    assert rest("birds", auth=oauth(rest)) == BIRDS
    rest.api.on("/birds", Says(status=401))
    with pytest.raises(ConfigurationError, match=r"does not accept the credentials.*BIRDS_TOKEN"):
        rest("birds", auth=oauth(rest))
    assert rest.paths.count(TOKEN_URL) == 2 + 2


def test_a_token_is_renewed_before_it_expires(rest, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("ducklift.sources.rest_auth.time.monotonic", lambda: now[0])
    rest.environment = KEY
    rest.api.on(TOKEN_URL, grants)
    pages = header_link(BIRDS)

    def later(asked):
        now[0] += 3000
        return pages(asked)

    rest.api.on("/birds", later)
    rest("birds", auth=oauth(rest))

    assert rest.paths == [TOKEN_URL, "/birds", "/birds", TOKEN_URL, "/birds"]


def test_a_client_may_show_itself_in_a_header(rest):
    rest.environment = KEY
    rest.api.on(TOKEN_URL, {"access_token": "t", "expires_in": "soon"})
    rest.api.on("/birds", BIRDS)
    rest("birds", auth=oauth(rest, credentials_in="header"))

    assert rest.api.asked[0].headers["authorization"].startswith("Basic ")
    assert "client_secret" not in rest.api.asked[0].form


@pytest.mark.parametrize(
    "says", [Says({"error": "invalid_client"}, 400), Says({"token": "misnamed"}), Says(status=302, headers={"location": "/"})]
)
def test_a_token_that_is_not_given_is_a_configuration_error(rest, says):
    rest.environment = KEY
    rest.api.on(TOKEN_URL, says)

    with pytest.raises(ConfigurationError):
        rest("birds", auth=oauth(rest))


def test_a_token_endpoint_that_echoes_the_secret_shows_it_nowhere(rest, caplog):
    rest.environment = {"BIRDS_TOKEN": "wr0ng s3cret"}
    rest.api.on(TOKEN_URL, grants)

    with pytest.raises(ConfigurationError, match=r"'client_secret': '\*\*\*'") as caught:
        rest("birds", auth=oauth(rest))

    assert "wr0ng s3cret" not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_secrets_are_hidden_in_every_form_in_which_a_text_may_show_them():
    hidden = Hidden()
    hidden.add_pair("me", "a b/c")

    text = "a b/c a%20b/c a%20b%2Fc a+b%2Fc bWU6YSBiL2M="
    assert hidden.out_of(text) == "*** *** *** *** ***"
