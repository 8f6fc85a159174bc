"""The store contract on this process's memory, on a folder, and on a folder behind SFTP."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from sftp_server import PASSWORD, USER, SftpPlace
from store_contract import StoreContract, new_name, raised, settings_for, with_environment

from ducklift.errors import ConfigurationError, CorruptObject, CredentialsMissing, LakeRefused, LakeUnavailable
from ducklift.lake.filesystem import ensure_lake, open_lake
from ducklift.lake.store import Store
from ducklift.settings import Connection, Settings


class TestMemory(StoreContract):
    makes_folders = True
    checks_keys = False

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return settings_for(tmp_path / "project", f"memory://{new_name()}/lake")


class TestFolder(StoreContract):
    makes_folders = True
    checks_keys = False

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return settings_for(tmp_path / "project", (tmp_path / "deep" / "a lake").as_uri())

    def test_a_relative_folder_lies_in_the_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir("/")
        ensure_lake(open_lake(settings_for(tmp_path / "project", "file://my/lake")))

        assert (tmp_path / "project" / "my" / "lake" / "_ducklift" / "lake.json").is_file()

    def test_a_file_is_shared_without_a_copy_and_an_absent_one_is_named(self, lake: Store, tmp_path: Path):
        lake.replace("raw/file", b"content")
        lake.share_file("raw/file", tmp_path / "shared")

        assert (tmp_path / "shared").samefile(lake.path("raw/file"))
        with pytest.raises(CorruptObject, match="raw/absent"):
            lake.share_file("raw/absent", tmp_path / "shared")

    def test_a_file_is_copied_where_it_cannot_be_linked(self, lake: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def refused(*_: object) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        lake.replace("raw/file", b"content")
        monkeypatch.setattr(Path, "hardlink_to", refused)
        lake.share_file("raw/file", tmp_path / "shared")

        assert (tmp_path / "shared").read_bytes() == b"content"
        assert not (tmp_path / "shared").samefile(lake.path("raw/file"))


class TestSftp(StoreContract):
    makes_folders = True

    @pytest.fixture
    def settings(self, tmp_path: Path, sftp: SftpPlace) -> Settings:
        url = f"sftp://127.0.0.1:{sftp.port}/{new_name()}/lake"
        return settings_for(tmp_path / "project", url, SFTP_USERNAME=USER, SFTP_PASSWORD=PASSWORD, SFTP_HOST_KEY=sftp.host_key)

    @pytest.fixture
    def wrong_keys(self) -> dict[str, str]:
        return {"SFTP_PASSWORD": "not-the-couriers-password"}

    def test_nothing_half_written_is_left_beside_the_objects(self, settings: Settings, sftp: SftpPlace):
        lake = open_lake(settings)
        ensure_lake(lake)
        lake.replace("raw/a.json", b"one")
        lake.create("raw/a.json", b"two")

        assert list(sftp.folder.rglob(".tmp-*")) == []

    def test_a_host_key_that_is_not_known_is_refused_with_its_fingerprint(self, settings: Settings):
        refused = with_environment(settings, SFTP_HOST_KEY="")

        error = raised(LakeRefused, refused)

        assert error.code == "UnknownHostKey"
        assert "SHA256:" in str(error)

    def test_another_host_key_than_the_known_one_is_refused(self, settings: Settings):
        kind = settings.environment["SFTP_HOST_KEY"].split()[0]

        assert raised(LakeRefused, with_environment(settings, SFTP_HOST_KEY=f"{kind} AAAA")).code == "UnknownHostKey"

    def test_a_private_key_signs_in_by_file_and_by_the_connections_extra(self, settings: Settings, sftp: SftpPlace):
        extra = {"private_key": sftp.client_key.read_text(), "host_key": sftp.host_key}
        by_file = with_environment(settings, SFTP_PASSWORD="", SFTP_KEY_FILE=str(sftp.client_key))
        by_extra = with_environment(settings, SFTP_PASSWORD="").with_connections(lambda _: Connection(login=USER, extra=extra))

        for settings in (by_file, by_extra):
            ensure_lake(open_lake(settings))

    def test_a_user_is_asked_for_by_every_place_that_was_looked_at(self, settings: Settings):
        assert "SFTP_USERNAME" in str(raised(CredentialsMissing, with_environment(settings, SFTP_USERNAME="")))

    def test_a_server_that_is_not_there_is_to_be_tried_again(self, settings: Settings):
        settings = with_environment(settings, DUCKLIFT_LAKE_URL="sftp://127.0.0.1:9/lake")

        assert raised(LakeUnavailable, settings).code == "NoValidConnectionsError"

    def test_a_key_file_that_is_not_there_is_named(self, settings: Settings):
        settings = with_environment(settings, SFTP_KEY_FILE="/nowhere/id_ed25519")

        assert "/nowhere/id_ed25519" in str(raised(ConfigurationError, settings))
