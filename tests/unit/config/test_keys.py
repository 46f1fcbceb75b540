"""Master secrets are made once, kept private, and every purpose gets keys of its own."""

import multiprocessing
import os
import stat
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.keys import FILE_NAME, KEY_BYTES, MasterKeys, master_keys
from tests.unit.config.conftest import problems_of


def mode_of(file: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(file.stat().st_mode)


def first_start(folder: Path) -> bytes:
    """What one start of the program derives."""
    return master_keys((), folder).derive("test")[0]


def test_the_first_start_makes_a_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        master_keys((), tmp_path / "data")
    finally:
        os.umask(before)

    file = tmp_path / "data" / FILE_NAME
    assert mode_of(file) == 0o600
    assert len(file.read_text().strip()) >= KEY_BYTES


def test_the_first_start_leaves_nothing_else_behind(tmp_path: Path) -> None:
    master_keys((), tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_every_later_start_has_the_same_secret(tmp_path: Path) -> None:
    assert first_start(tmp_path) == first_start(tmp_path)


def test_two_installations_have_different_secrets(tmp_path: Path) -> None:
    assert first_start(tmp_path / "one") != first_start(tmp_path / "two")


def test_threads_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def start(_: int) -> bytes:
        together.wait()
        return first_start(tmp_path / "data")

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(start, range(8)))

    assert len(keys) == 1


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        keys = set(pool.map(first_start, [tmp_path / "data"] * 8))

    assert len(keys) == 1


def test_a_start_that_died_halfway_is_no_obstacle(tmp_path: Path) -> None:
    """In a container the next start has the same process id."""
    (tmp_path / f"{FILE_NAME}.{os.getpid()}").write_text("half a sec")

    assert first_start(tmp_path) == first_start(tmp_path)


def test_configured_secrets_make_no_file(tmp_path: Path) -> None:
    master_keys([SecretStr("configured")], tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_operators_file_may_hold_older_secrets_below_the_current_one(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("current\nolder\n")

    keys = master_keys((), tmp_path)

    both = MasterKeys([SecretStr("current"), SecretStr("older")])
    assert keys.derive("test") == both.derive("test")


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_not_filled_but_said(tmp_path: Path, content: bytes) -> None:
    """A new secret would hide that the old one is lost."""
    file = tmp_path / FILE_NAME
    file.write_bytes(content)

    assert problems_of(lambda: master_keys((), tmp_path)) == [
        f"security.keys: {file} is empty; restore it from a backup: stored links need it"
    ]
    assert file.read_bytes() == content


def test_a_file_that_is_not_text_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe")

    assert problems_of(lambda: master_keys((), tmp_path)) == [
        f"security.keys: {tmp_path / FILE_NAME} is not text"
    ]


def test_a_folder_in_the_files_place_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()

    assert problems_of(lambda: master_keys((), tmp_path)) == [
        f"security.keys: {tmp_path / FILE_NAME} cannot be used: Is a directory"
    ]


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")

    [problem] = problems_of(lambda: master_keys((), tmp_path / "data"))

    assert problem.startswith(f"security.keys: {tmp_path / 'data' / FILE_NAME} cannot be used: ")


# Deriving


def test_every_purpose_has_its_own_key() -> None:
    keys = MasterKeys([SecretStr("secret")])

    derived = {keys.derive(purpose) for purpose in ("links", "payload", "webhook", "")}

    assert len(derived) == 4


def test_a_derived_key_is_always_the_same() -> None:
    """A stored link sealed by one release must open in the next: this value never changes."""
    [key] = MasterKeys([SecretStr("secret")]).derive("test")

    assert len(key) == KEY_BYTES
    assert key.hex() == "8ec45b3ca54a89452375f3f11fa4839b7fecff7b0e106585ec3347e9458a4aed"


def test_keys_come_in_the_order_of_the_secrets() -> None:
    one, two = SecretStr("one"), SecretStr("two")

    assert MasterKeys([one, two]).derive("test") == (
        *MasterKeys([one]).derive("test"),
        *MasterKeys([two]).derive("test"),
    )


def test_no_secrets_at_all_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MasterKeys([])


def test_secrets_do_not_show_themselves() -> None:
    assert repr(MasterKeys([SecretStr("canary")])) == "MasterKeys(1)"
