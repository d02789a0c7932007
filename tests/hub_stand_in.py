"""A stand-in for the Hub on loopback: the part of its HTTP API that uploads and downloads of models and data sets use.

All files are committed as regular ones. What the Hub does instead with large files (Xet and LFS storage) is the
client's own matter and not tried here; as there, weights are known by their sha256.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import datasets
import huggingface_hub
import transformers.utils.hub
import yaml
from huggingface_hub import HfFileSystem

TOKEN = "hf_of_a_test"
# Of the Hub's list of tasks and of its licences.
TASKS = {"mask-generation", "image-segmentation", "video-classification"}
LICENSES = {"apache-2.0", "mit", "cc-by-nc-4.0", "other"}


class HubStandIn(ThreadingHTTPServer):
    """`repos` holds what was uploaded: by repository, `private` and `files`, a dictionary from path to bytes. Names of
    data sets begin with `datasets/`. `pages` are files of some other server, by path.

    `breaks` says which of the next contents end early: for each the number of bytes that are still sent, and what is
    called then, with the connection half-way. `instead`, where set, is sent in place of contents. `ranges` are the
    first bytes of the contents that were sent; asking for the first byte alone, to know the size, does not count.
    While `answers` is not set, whoever posts something waits.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.repos = {}
        self.pages = {}
        self.breaks = []
        self.instead = None
        self.ranges = []
        self.requests = []
        self.answers = threading.Event()
        self.answers.set()

    def publish(self, repo, folder, under=""):
        """Put the files of a folder into a repository."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        files = {f"{under}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}
        self.repos[repo] = {"private": False, "files": files}

    def sha(self, repo):
        # Of contents their hash, which Python computes once.
        files = sorted((name, hash(content)) for name, content in self.repos[repo]["files"].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    @property
    def environment(self):
        """Variables for a fresh process that is to take this for the Hub."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}


@contextmanager
def running_hub():
    hub = HubStandIn()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


def use(hub, monkeypatch, token=TOKEN):
    """Let this process take the stand-in for the Hub."""
    HfFileSystem.clear_instance_cache()
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.endpoint)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def empty_cache(monkeypatch, folder):
    """Let the Hub's client keep its files under `folder`."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_ASSETS_CACHE", str(folder / "assets"))


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self.server.requests.append(("POST", path))
        self.server.answers.wait()
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid credentials in Authorization header"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        action = re.fullmatch(r"/api/(?:models/)?((?:datasets/)?[^/]+/[^/]+)/(preupload|commit|paths-info)/[^/]+", path)
        if not action or action[1] not in self.server.repos:
            return self._answer(404, {"error": "Repository not found"})
        if action[2] == "paths-info":
            return self._answer(200, self._paths_info(action[1], parse_qs(body.decode())["paths"]))
        if action[2] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": files})
        return self._commit(action[1], [json.loads(line) for line in body.splitlines()])

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.requests.append(("GET", path))
        api = re.fullmatch(r"/api/(?:models/)?((?:datasets/)?[^/]+/[^/]+?)(?:/(revision|tree)/[^/]+(/.+)?)?", path)
        if api and api[1] in self.server.repos:
            folder = f"{api[3][1:]}/" if api[3] else ""
            files = [name for name in self.server.repos[api[1]]["files"] if name.startswith(folder)]
            if folder and not files:
                return self._answer(404, {"error": "there is no such folder"}, {"X-Error-Code": "EntryNotFound"})
            if api[2] == "tree":
                return self._answer(200, self._paths_info(api[1], files))
            siblings = [{"rfilename": name} for name in files]
            name = api[1].removeprefix("datasets/")
            return self._answer(200, {"id": name, "sha": self.server.sha(api[1]), "siblings": siblings})
        return self._file(path)

    do_HEAD = do_GET

    def _validate(self, content):
        try:
            assert isinstance(yaml.safe_load(content.split("---\n")[1]), dict)
        except (IndexError, yaml.YAMLError, AssertionError):
            return self._answer(400, {"errors": [{"message": "no metadata"}], "warnings": []})
        warnings = [{"message": message} for message in _faults(yaml.safe_load(content.split("---\n")[1]))]
        return self._answer(200, {"errors": [], "warnings": warnings})

    def _create(self, given):
        kind = "datasets/" if given.get("type") == "dataset" else ""
        repo = f"{kind}{given['organization']}/{given['name']}"
        if repo in self.server.repos:
            return self._answer(409, {"error": "exists", "url": f"{self.server.endpoint}/{repo}"})
        self.server.repos[repo] = {"private": given.get("visibility") == "private", "files": {}}
        return self._answer(200, {"url": f"{self.server.endpoint}/{repo}"})

    def _paths_info(self, repo, paths):
        files = self.server.repos[repo]["files"]
        sizes = {path: (len(files[path]), hashlib.sha1(files[path]).hexdigest()) for path in paths if path in files}
        return [{"type": "file", "path": path, "size": size, "oid": oid} for path, (size, oid) in sizes.items()]

    def _commit(self, repo, operations):
        files = self.server.repos[repo]["files"]
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        oid = self.server.sha(repo)
        return self._answer(200, {"commitUrl": f"{self.server.endpoint}/{repo}/commit/{oid}", "commitOid": oid})

    def _file(self, path):
        if path in self.server.pages:
            return self._content(self.server.pages[path], {})
        wanted = re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        repo = self.server.repos.get(wanted[1]) if wanted else None
        if repo is None:
            return self._answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        headers = {"X-Repo-Commit": self.server.sha(wanted[1])}
        if wanted[2] not in repo["files"]:
            return self._answer(404, {"error": "not found"}, headers | {"X-Error-Code": "EntryNotFound"})
        content = repo["files"][wanted[2]]
        return self._content(content, headers)

    def _content(self, content, headers):
        algorithm = "sha256" if urlsplit(self.path).path.endswith((".pth", ".safetensors")) else "sha1"
        headers = headers | {"ETag": f'"{digest(algorithm, content)}"'}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), int(asked[2] or len(content) - 1)) if asked else (0, len(content) - 1)
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        if self.command == "GET" and (start, end) != (0, 0):
            self.server.ranges.append(start)
        self._send(206 if asked else 200, (self.server.instead or content)[start : end + 1], headers)

    def _answer(self, status, content, headers=None):
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status, content, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.breaks and "ETag" in headers and len(content) > 1:
            sent, then = self.server.breaks.pop(0)
            self.wfile.write(content[:sent])
            self.wfile.flush()
            then()
            return
        self.wfile.write(content)


def _faults(metadata):
    """What the Hub warns of in a card's metadata, as far as cards of this package could have it."""
    if metadata.get("pipeline_tag") not in {None, *TASKS}:
        yield f"pipeline_tag {metadata['pipeline_tag']!r} is not in the list of tasks"
    if metadata.get("license") not in LICENSES:
        yield "license is missing or not in the list"
    if metadata.get("license") == "other" and not {"license_name", "license_link"} <= metadata.keys():
        yield "license other wants license_name and license_link"


@lru_cache(maxsize=4)
def digest(algorithm, content):
    return hashlib.new(algorithm, content).hexdigest()
