"""Files in a bucket: what Django's storage API promises, and the main job from a prompt to a clip that plays."""

import io
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

from generations.bucket import BLOCK, Bucket
from tests import jobs
from tests.servers import S3, clean_environment, free_port, manage

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

DATA = bytes(range(256)) * 4096 * 3  # 3 MiB


def bucket_of(env: dict[str, str], **more: str) -> Bucket:
    options = {"bucket_name": env["S3_BUCKET"], "endpoint_url": env["S3_ENDPOINT_URL"], "region_name": "us-east-1"}
    keys = {"access_key": env["AWS_ACCESS_KEY_ID"], "secret_key": env["AWS_SECRET_ACCESS_KEY"]}
    return Bucket(**{**options, **keys, **more})


@pytest.fixture
def bucket(s3_server: S3) -> Bucket:
    return bucket_of(s3_server.new_bucket())


def asked_of(bucket: Bucket, monkeypatch) -> list[tuple[int, int]]:
    """Every range that is asked of the bucket from now on."""
    asked: list[tuple[int, int]] = []
    read = bucket.read_range

    def note(name: str, start: int, length: int) -> bytes:
        asked.append((start, length))
        return read(name, start, length)

    monkeypatch.setattr(bucket, "read_range", note)
    return asked


def test_what_was_put_in_comes_out(bucket):
    name = bucket.save("clips/a.mp4", ContentFile(DATA))
    assert (bucket.exists(name), bucket.size(name)) == (True, len(DATA))
    with bucket.open(name) as file:
        assert b"".join(file.chunks()) == DATA
    bucket.delete(name)
    assert not bucket.exists(name)


def test_a_name_that_is_taken_is_not_written_over(bucket):
    first, second = bucket.save("a.mp4", ContentFile(b"one")), bucket.save("a.mp4", ContentFile(b"two"))
    assert first != second
    assert bucket.open(first).read() == b"one"


def test_a_reader_that_seeks_asks_for_one_block_from_there(bucket, monkeypatch):
    name = bucket.save("a.mp4", ContentFile(DATA))
    asked = asked_of(bucket, monkeypatch)
    with bucket.open(name) as file:
        file.seek(2_000_001)
        assert file.read(64 * 1024) == DATA[2_000_001 : 2_000_001 + 64 * 1024]
    assert asked == [(2_000_001, BLOCK)]


def test_a_reader_finds_the_end(bucket):
    with bucket.open(bucket.save("a.mp4", ContentFile(DATA))) as file:
        assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
        assert file.read() == DATA[-5:]
        assert file.read(10) == b""
        file.seek(len(DATA) + 10)
        assert file.read(10) == b""


def test_an_empty_file_can_be_read(bucket):
    with bucket.open(bucket.save("a.mp4", ContentFile(b""))) as file:
        assert file.read() == b""


@pytest.mark.parametrize("what", [lambda b: b.size("no.mp4"), lambda b: b.open("no.mp4").read()])
def test_a_file_that_is_not_there_is_said_as_a_disk_says_it(bucket, what):
    with pytest.raises(FileNotFoundError):
        what(bucket)


def test_a_bucket_that_does_not_answer_is_a_disk_that_does_not():
    gone = {"S3_BUCKET": "clips", "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", **S3.SECRETS}
    for deed in (lambda b: b.size("a"), lambda b: b.open("a").read(), lambda b: b.save("a", ContentFile(b"a"))):
        with pytest.raises(OSError, match="did not answer"):
            deed(bucket_of(gone))


def test_a_link_to_the_bucket_serves_ranges_and_says_when_it_ends(bucket):
    name = bucket.save("a.mp4", ContentFile(DATA))
    link = bucket.url(name)
    assert "X-Amz-Expires=60" in link
    answer = requests.get(link, headers={"Range": "bytes=100-199"}, timeout=10)
    assert (answer.status_code, answer.content) == (206, DATA[100:200])


def test_a_bucket_that_works_is_tried_out_and_left_empty(s3_server):
    env = s3_server.new_bucket()
    bucket_of(env).try_out()
    assert s3_server.client().list_objects_v2(Bucket=env["S3_BUCKET"])["KeyCount"] == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"bucket_name": "nobodys"}, "S3_BUCKET"), ({"endpoint_url": "http://127.0.0.1:9"}, "S3_ENDPOINT_URL")],
)
def test_a_bucket_that_cannot_be_used_is_named_by_its_variable(s3_server, wrong, named):
    with pytest.raises(ImproperlyConfigured, match=f"^{named}: "):
        bucket_of(s3_server.new_bucket(), **wrong).try_out()


def test_the_preparation_stops_at_a_bucket_that_is_not_there(s3_server, tmp_path: Path):
    env = {**s3_server.new_bucket(), "S3_BUCKET": "nobodys", "DATA_DIR": str(tmp_path)}
    done = manage(clean_environment(**env), "prepare", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Dailies cannot start. S3_BUCKET: there is no bucket of this name")
    assert not (tmp_path / "dailies.sqlite3").exists()


# -- the main job -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dailies(make_stack, make_simulator, s3_server):
    simulator = make_simulator("--speed", "100", "--balance", "100000")
    dailies = make_stack(simulator=simulator, **s3_server.new_bucket())
    jobs.add_people(dailies)
    return dailies.start()


@pytest.fixture(scope="module")
def person(dailies) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.update(jobs.session_of(dailies, "mara@example.com"))
    return session


@pytest.fixture(scope="module")
def clip(dailies) -> int:
    """A clip that real processes made, from the confirmation to the bucket."""
    [pk] = jobs.confirm_all(dailies, [("grok-imagine", "text-to-video", "A dune")])
    dailies.wait_for("the clip is stored", lambda: jobs.all_stored(dailies, 1), 120)
    return pk


def test_the_main_job_puts_the_clip_into_the_bucket_and_nothing_on_the_disk(dailies, clip, s3_server):
    kept = s3_server.client().list_objects_v2(Bucket=dailies.env["S3_BUCKET"])["Contents"]
    sizes = {Path(row["Key"]).name: row["Size"] for row in kept}
    [(name, size)] = jobs.ask(dailies, "SELECT file, size FROM generations_clip")
    assert sizes[Path(name).name] == size
    assert len(sizes) == 3  # video, poster, preview
    assert not (dailies.folder / "media").exists()
    assert list((dailies.folder / "tmp").glob("*")) == []
    state = jobs.state(dailies)
    print(f"\nin the bucket: {sizes}; {state}")
    assert (state["held"], state["submissions"], dailies.simulator.submissions()) == (0, 1, 1)


def test_the_clip_in_the_bucket_plays_by_ranges_through_its_page(dailies, clip, person):
    page = person.get(f"{dailies.url}/g/{clip}", timeout=20)
    assert f'src="/g/{clip}/video"' in page.text
    whole = person.get(f"{dailies.url}/g/{clip}/video", timeout=20).content
    size = len(whole)
    assert whole[4:8] == b"ftyp"
    for asked, start, end in (("0-", 0, size), ("100-299", 100, 300), (f"{size - 50}-", size - 50, size)):
        part = person.get(f"{dailies.url}/g/{clip}/video", headers={"Range": f"bytes={asked}"}, timeout=20)
        assert (part.status_code, part.content) == (206, whole[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = person.get(f"{dailies.url}/g/{clip}/video", headers={"Range": f"bytes={size}-"}, timeout=20)
    assert beyond.status_code == 416


def test_its_poster_and_preview_come_through_dailies_as_well(dailies, clip, person):
    for path, kind in (("poster", "image/webp"), ("preview", "video/mp4")):
        answer = person.get(f"{dailies.url}/g/{clip}/{path}", timeout=20, allow_redirects=False)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)


def test_nobody_else_gets_a_byte_of_it(dailies, clip):
    answer = requests.get(f"{dailies.url}/g/{clip}/video", timeout=20, allow_redirects=False)
    assert answer.status_code == 302
    assert "/accounts/login/" in answer.headers["Location"]


def test_where_it_is_allowed_a_download_comes_straight_from_the_bucket(dailies, clip, person, s3_server):
    dailies.env["S3_DIRECT_DOWNLOADS"] = "true"
    dailies.start_web()
    answer = person.get(f"{dailies.url}/g/{clip}/download", timeout=20, allow_redirects=False)
    link = answer.headers["Location"]
    assert answer.status_code == 302
    assert urlsplit(link).netloc == urlsplit(s3_server.url).netloc
    assert "X-Amz-Expires=60" in link
    assert answer.headers["Cache-Control"] == "no-store"
    # (moto leaves the asked-for name out of the answer; it is part of what is signed)
    assert "a-dune" in link
    played = person.get(f"{dailies.url}/g/{clip}/video", timeout=20, allow_redirects=False)
    assert played.status_code == 200  # players are never sent away: their links would end while they seek
