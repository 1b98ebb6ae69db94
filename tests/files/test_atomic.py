"""Files appear whole or not at all, whoever else writes them and whatever fails on the way."""

import os
import threading

import pytest

from mechtests.files import atomic_write, write_bytes, write_text


def test_the_content_is_there_and_nothing_else(tmp_path):
    write_text(tmp_path / "deep" / "file.txt", "één\r\ntwo\n")
    assert (tmp_path / "deep" / "file.txt").read_bytes() == "één\r\ntwo\n".encode()
    write_bytes(tmp_path / "deep" / "file.txt", b"\xff")
    assert (tmp_path / "deep" / "file.txt").read_bytes() == b"\xff"
    assert os.listdir(tmp_path / "deep") == ["file.txt"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("durable", [True, False])
def test_nothing_changes_where_the_block_raises(tmp_path, durable):
    file = tmp_path / "file.txt"
    file.write_text("old")

    def interrupted():
        with atomic_write(file, durable=durable) as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_nothing_changes_before_the_block_ends(tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("old")
    with atomic_write(file) as unfinished:
        unfinished.write_text("new")
        assert file.read_text() == "old"
        assert unfinished.parent == file.parent  # the same file system, so that renaming cannot copy
    assert file.read_text() == "new"


def test_the_content_is_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    file, synced, fsync = tmp_path / "file.txt", [], os.fsync

    def record(number):
        synced.append((os.fstat(number).st_size, file.exists()))
        fsync(number)

    monkeypatch.setattr(os, "fsync", record)
    write_text(file, "abc")
    assert synced == [(3, False)]
    with atomic_write(file, durable=False) as unfinished:
        unfinished.write_text("abcd")
    assert len(synced) == 1


def test_threads_of_one_process_do_not_mix_their_content(tmp_path):
    file = tmp_path / "file.txt"
    contents = [str(number) * 100_000 for number in range(4)]
    failed = []

    def write(content):
        try:
            for _ in range(20):
                write_text(file, content)
                if file.read_text() not in contents:
                    failed.append("mixed")
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert os.listdir(tmp_path) == ["file.txt"]
