"""Downloads over a real server on loopback that cuts, forgets ranges, lies, is busy, blocks."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from maskdistill.downloads.download import download
from maskdistill.errors import DatasetError
from tests.downloads.server import Manner, serving

BODY = bytes(range(256)) * 5000
SHA = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


def fetch(urls: list[str], target: Path, **more: Any):
    more.setdefault("pause", lambda seconds: None)
    more.setdefault("timeout_seconds", 5)
    return download(urls, target, **more)


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(tmp_path):
    n_bytes: list[int] = []
    with serving(a=Manner(BODY)) as served:
        received = fetch(
            [served.url("a")],
            tmp_path / "new" / "a",
            digests={"sha256": SHA, "md5": MD5},
            seen=n_bytes.append,
        )
    assert (received.url, received.bytes, received.sha256) == (served.url("a"), len(BODY), SHA)
    assert (tmp_path / "new" / "a").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]
    assert n_bytes == sorted(n_bytes)
    assert n_bytes[-1] == len(BODY)


def test_a_connection_that_is_cut_goes_on_where_it_was(tmp_path):
    pauses: list[float] = []
    with serving(a=Manner(BODY, cuts=[500_000, 0, 300_001])) as served:
        fetch([served.url("a")], tmp_path / "a", digests={"sha256": SHA}, pause=pauses.append)
    assert (tmp_path / "a").read_bytes() == BODY
    ranges = [range_ for _, range_, _ in served.asked]
    assert ranges == [None, "bytes=500000-", "bytes=500000-", "bytes=800001-"]
    assert {if_range for _, range_, if_range in served.asked if range_} == {'"one"'}
    assert pauses == [1, 2, 1]  # a byte more, and the count of failures begins anew


def test_a_later_command_goes_on_too(tmp_path):
    with serving(a=Manner(BODY, cuts=[500_000, 0])) as served:
        with pytest.raises(
            DatasetError,
            match=r"cut after 500000 of 1280000 bytes \(2 times, 500000 bytes so far\)",
        ):
            fetch([served.url("a")], tmp_path / "a", tries=2)
        assert not (tmp_path / "a").exists()
        fetch([served.url("a")], tmp_path / "a")
        assert [range_ for _, range_, _ in served.asked][2:] == ["bytes=500000-"]
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_file_that_changed_at_its_server_begins_anew(tmp_path):
    other = BODY[::-1]
    with serving(a=Manner(BODY, cuts=[500_000])) as served:
        with pytest.raises(DatasetError):
            fetch([served.url("a")], tmp_path / "a", tries=1)
        served.paths["a"] = Manner(other, validator='"two"')
        fetch([served.url("a")], tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == other


def test_without_a_validator_a_digest_finds_pieces_of_two_files_and_begins_anew(tmp_path):
    other = BODY[::-1]
    with serving(a=Manner(BODY, cuts=[500_000], validator=None)) as served:
        with pytest.raises(DatasetError):
            fetch([served.url("a")], tmp_path / "a", tries=1)
        served.paths["a"] = Manner(other, validator=None)
        fetch(
            [served.url("a")], tmp_path / "a", digests={"sha256": hashlib.sha256(other).hexdigest()}
        )
        assert [range_ for _, range_, _ in served.asked] == [None, "bytes=500000-", None]
    assert (tmp_path / "a").read_bytes() == other


def test_a_server_without_ranges_starts_again(tmp_path):
    with serving(a=Manner(BODY, cuts=[500_000], ranges=False)) as served:
        n_bytes: list[int] = []
        fetch([served.url("a")], tmp_path / "a", digests={"sha256": SHA}, seen=n_bytes.append)
    assert (tmp_path / "a").read_bytes() == BODY
    assert 0 in n_bytes[1:]  # it fell back


def test_a_server_that_cuts_for_ever_is_given_up(tmp_path):
    with serving(a=Manner(BODY, cuts=[500_000] * 20, ranges=False)) as served:
        with pytest.raises(DatasetError, match="4 times"):
            fetch([served.url("a")], tmp_path / "a")
        assert 4 <= len(served.asked) <= 6


def test_dead_mirrors_are_passed_and_the_live_one_is_used(tmp_path):
    told: list[str] = []
    with serving(
        gone=Manner(code=404),
        blocked=Manner(b"<html>Your access has been blocked</html>", content_type="text/html"),
        busy=Manner(code=503),
        hangs=Manner(hangs=True),
        other=Manner(BODY + b"more"),
        a=Manner(BODY, codes=[503, 429]),
    ) as served:
        urls = [served.url(name) for name in ("gone", "blocked", "busy", "hangs", "other", "a")]
        urls.insert(0, "http://127.0.0.1:9/a")
        urls.insert(0, "ftp://127.0.0.1/a")
        received = fetch(
            urls,
            tmp_path / "a",
            size=len(BODY),
            digests={"md5": MD5},
            tries=3,
            timeout_seconds=0.3,
            told=told.append,
        )
    assert received.url == served.url("a")
    assert len(told) == 7
    reasons = [line.partition(": ")[2] for line in told]
    assert reasons[0] == "is neither http nor https"
    assert "refused" in reasons[1].lower()
    assert reasons[2] == "HTTP 404 Not Found"
    assert "a web page in place of the file" in reasons[3]
    assert reasons[4].startswith("HTTP 503 Service Unavailable (3 times, 0 bytes so far)")
    assert reasons[5].startswith("timed out (3 times")
    assert reasons[6] == f"has a file of {len(BODY) + 4} bytes, wanted {len(BODY)}"


def test_where_no_mirror_has_it_the_error_lists_what_was_tried_and_what_to_do(tmp_path):
    with serving() as served, pytest.raises(DatasetError) as raised:
        fetch([served.url("a"), served.url("b")], tmp_path / "a.tar", advice="Put it at x.")
    assert str(raised.value).splitlines() == [
        "a.tar: no mirror gave it. Tried:",
        f"  {served.url('a')}: HTTP 404 Not Found",
        f"  {served.url('b')}: HTTP 404 Not Found",
        "Put it at x.",
    ]


def test_a_wrong_checksum_is_refused_and_nothing_of_it_stays(tmp_path):
    with serving(a=Manner(BODY[::-1]), b=Manner(BODY)) as served:
        with pytest.raises(
            DatasetError, match=rf"what it gave has another checksum \(sha256 \w+, wanted {SHA}\)"
        ):
            fetch([served.url("a")], tmp_path / "a", digests={"sha256": SHA})
        assert list(tmp_path.iterdir()) == []
        told: list[str] = []
        fetch(
            [served.url("a"), served.url("b")],
            tmp_path / "a",
            digests={"sha256": SHA.upper()},
            told=told.append,
        )
        assert len(told) == 1
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("digests, second", [({"sha256": SHA}, "bytes=500000-"), ({}, None)])
def test_another_mirror_goes_on_with_the_bytes_of_a_dead_one_where_a_digest_is_known(
    tmp_path, digests, second
):
    with serving(a=Manner(BODY, cuts=[500_000]), b=Manner(BODY, validator='"b"')) as served:
        urls = [served.url("a"), served.url("b")]
        fetch(urls, tmp_path / "a", tries=1, digests=digests)
        assert served.asked == [("/a", None, None), ("/b", second, None)]
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_file_that_is_there_is_checked_and_used(tmp_path):
    (tmp_path / "a").write_bytes(BODY)
    received = fetch([], tmp_path / "a", size=len(BODY), digests={"md5": MD5})
    assert (received.url, received.sha256) == (None, SHA)
    with pytest.raises(DatasetError, match=r"has 1280000 bytes, wanted 7\. Move it away"):
        fetch([], tmp_path / "a", size=7)
    with pytest.raises(DatasetError, match=r"a: has another checksum \(md5"):
        fetch([], tmp_path / "a", digests={"md5": SHA[:32]})
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize(
    "size, more, n_asked",
    [
        (len(BODY), b"", 0),
        (None, b"", 1),  # it must ask, and is told 416
        (len(BODY), b"more", 1),
        (None, b"more", 2),  # told 416 too, but of another size
    ],
)
def test_what_was_all_there_when_it_was_killed_is_kept_and_what_is_longer_thrown_away(
    tmp_path, size, more, n_asked
):
    (tmp_path / "a.part").write_bytes(BODY + more)
    with serving(a=Manner(BODY)) as served:
        state = {"url": served.url("a"), "validator": '"one"'}
        (tmp_path / "a.part.json").write_text(json.dumps(state))
        fetch([served.url("a")], tmp_path / "a", size=size)
        assert len(served.asked) == n_asked
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_server_that_says_no_length_is_taken_at_its_word_and_checked_by_digest(tmp_path):
    with serving(a=Manner(BODY, says_length=False, cuts=[500_000])) as served:
        fetch([served.url("a")], tmp_path / "short")
        assert (tmp_path / "short").stat().st_size == 500_000  # nothing says more
        served.paths["a"].cuts = [500_000]
        with pytest.raises(DatasetError, match="has another checksum"):
            fetch([served.url("a")], tmp_path / "a", digests={"sha256": SHA})
        served.paths["a"].cuts = [500_000]
        with pytest.raises(DatasetError, match="has 500000 bytes, wanted 1280000"):
            fetch([served.url("a")], tmp_path / "a", size=len(BODY))


def test_a_disk_that_is_full_is_no_fault_of_the_mirror_and_what_came_is_kept(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(a=Manner(BODY)) as served:
        # Of any file that this process writes.
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
        try:
            with pytest.raises(DatasetError, match=r"a\.part: cannot be written: File too large"):
                fetch([served.url("a")], tmp_path / "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert len(served.asked) == 1
        fetch([served.url("a")], tmp_path / "a")
        assert served.asked[1][1] == "bytes=600000-"
    assert (tmp_path / "a").read_bytes() == BODY


def test_where_nothing_can_tell_that_the_rest_is_of_the_same_file_it_begins_again(tmp_path):
    other = BODY[::-1]
    with serving(a=Manner(BODY, validator=None, cuts=[500_000, 0])) as served:
        with pytest.raises(DatasetError, match=r"could not be fetched|cut after"):
            fetch([served.url("a")], tmp_path / "a", tries=2)
        served.paths["a"].body = other
        fetch([served.url("a")], tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == other
