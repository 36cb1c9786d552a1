"""Files over HTTP: uploads coming in, and clips going out under links that expire."""

import hashlib
import hmac
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from simulator import faults, store
from simulator.rows import Invalid
from simulator.store import Store

MEGABYTE = 1024 * 1024
LIMITS = {"image": 20 * MEGABYTE, "video": 200 * MEGABYTE}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "video/mp4": "mp4"}


def sniff(head: bytes) -> str | None:
    """The content type by the file's first bytes."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return None


def keep_upload(folder: Path, file: FileStorage) -> str:
    """Check an uploaded file and keep it; returns its name."""
    head = file.stream.read(16)
    kind = sniff(head)
    if kind is None or file.mimetype != kind:
        raise Invalid("file must be a JPEG, PNG, WebP or MP4")
    file.stream.seek(0, 2)
    limit = LIMITS[kind.split("/")[0]]
    if file.stream.tell() > limit:
        raise Invalid(f"file must be at most {limit // MEGABYTE} MB")
    file.stream.seek(0)
    name = f"{secrets.token_hex(12)}.{EXTENSIONS[kind]}"
    folder.mkdir(parents=True, exist_ok=True)
    file.save(folder / name)
    return name


def own_upload(folder: Path, url: str) -> str | None:
    """The file name behind one of our own upload links, if it is one and the file is an image."""
    path = urlsplit(url).path
    name = path.rpartition("/")[2]
    if not path.startswith("/uploads/") or name.endswith(".mp4") or not (folder / name).is_file():
        return None
    return name


class Files:
    """What the simulator serves outside /api: clips and uploads."""

    def __init__(self, memory: Store, data: Path) -> None:
        self.store = memory
        self.videos = data / "videos"
        self.uploads = data / "uploads"

    def link(self, request: Request, secret: str, seconds: float, identifier: str) -> str:
        """A signed address on the host the client came by."""
        expires = int(time.time() + seconds)
        signature = sign(secret, identifier, expires)
        return f"{request.host_url}videos/{identifier}.mp4?expires={expires}&sig={signature}"

    def serve(self, request: Request, endpoint: str, name: str) -> Response:
        """A clip or an upload, with its line in the journal and what was ordered to go wrong."""
        with self.store.transaction() as db:
            fault = next(iter(faults.take(db, endpoint, None, faults.TRANSPORT)), None)
            entry = db.execute(
                "INSERT INTO journal (at, method, path, endpoint, fault, generation_id) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    time.time(),
                    request.method,
                    request.path,
                    endpoint,
                    fault and fault.name,
                    name.removesuffix(".mp4") if endpoint == "video" else None,
                ),
            ).lastrowid
        answer = None
        if fault is None or fault.after:
            answer = self.video(request, name) if endpoint == "video" else self.upload(request, name)
        if fault is not None:
            answer = faults.disturb(fault, request, answer)
        with self.store.transaction() as db:
            db.execute("UPDATE journal SET status = ? WHERE id = ?", (answer.status_code if answer else None, entry))
        return answer or faults.error(500)

    def video(self, request: Request, name: str) -> Response:
        identifier = name.removesuffix(".mp4")
        with self.store.transaction() as db:
            secret = store.setting(db, "secret")
            job = db.execute("SELECT file_name FROM generations WHERE id = ?", (identifier,)).fetchone()
        expires = request.args.get("expires", type=int) or 0
        if not hmac.compare_digest(sign(secret, identifier, expires), request.args.get("sig", "")):
            return faults.error(403, "Invalid signature")
        if expires < time.time():
            return faults.error(410, "This link has expired")
        if job is None or job["file_name"] is None:
            return faults.error(404, "Not found")
        return _file(request, self.videos / job["file_name"], "video/mp4")

    def upload(self, request: Request, name: str) -> Response:
        path = self.uploads / Path(name).name
        kinds = {extension: kind for kind, extension in EXTENSIONS.items()}
        if not path.is_file():
            return faults.error(404, "Not found")
        return _file(request, path, kinds[path.suffix[1:]])


def sign(secret: str, identifier: str, expires: int) -> str:
    return hmac.new(secret.encode(), f"{identifier}:{expires}".encode(), hashlib.sha256).hexdigest()[:32]


def _file(request: Request, path: Path, kind: str) -> Response:
    response = Response(wrap_file(request.environ, path.open("rb")), content_type=kind, direct_passthrough=True)
    response.headers["Content-Length"] = str(path.stat().st_size)
    return response
