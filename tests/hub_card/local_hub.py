"""A Hub on this machine, for tests: repositories with commits, branches, tags and large files, in memory.

    with LocalHub() as hub:
        subprocess.run([...], env={**os.environ, **hub.env})

It answers what `huggingface_hub` asks when it creates, fills and reads model repositories, wants the token that `env`
holds for what is private or written, and fails on demand (see `fail`).
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


TOKEN = "hf_local"
USER = "tester"
LARGE = (".safetensors", ".bin")
REPO = r"/(?P<repo>[^/]+/[^/]+)"
API = rf"/api/models{REPO}"


@dataclass
class Commit:
    files: dict[str, bytes]
    message: str
    parent: str | None = None

    @property
    def oid(self) -> str:
        content = [(path, hashlib.sha1(content).hexdigest()) for path, content in sorted(self.files.items())]
        return hashlib.sha1(repr((self.parent, self.message, content)).encode()).hexdigest()


@dataclass
class Repo:
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # branches, tags and pull requests

    def add(self, commit: Commit, ref: str = "main") -> str:
        self.commits[commit.oid] = commit
        self.refs[ref] = commit.oid
        return commit.oid

    def at(self, revision: str) -> str | None:
        return self.refs.get(revision, revision if revision in self.commits else None)


class Answer(Exception):
    """What ends a request: a status, and perhaps JSON or bytes."""

    def __init__(self, content=None, status: int = 200, **headers: str):
        self.status, self.headers = status, headers
        self.body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()


def missing(code: str) -> Answer:
    return Answer({"error": code}, 404, **{"X-Error-Code": code, "X-Error-Message": code})


class LocalHub:
    """The server. `repos` maps ids to repositories, `requests` lists what came in, as (method, path, bytes)."""

    def __init__(self):
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}  # large files by repository and SHA-256
        self.requests: list[tuple[str, str, int]] = []
        self.faults: list[list] = []
        self.tamper = None  # what the server does to the large files it is given
        self.lock = RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        # Xet, the other way to upload large files, would need a service of its own.
        self.env = {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}

    def __enter__(self) -> "LocalHub":
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def fail(self, method: str, path: str, fault: int | str, times: int = 1, message: str = "fault on demand") -> None:
        """Let the next requests whose path contains `path` fail: by a status, or by a `cut` in the middle."""
        self.faults.append([method, path, fault, times, message])

    def head(self, repo: str, ref: str = "main") -> Commit:
        return self.repos[repo].commits[self.repos[repo].refs[ref]]


class Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_request(self):
        try:
            with self.hub.lock:
                fault = self.next_fault()
            if fault and fault[2] == "cut":
                self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
                self.close_connection = True
                return
            self.data = self.read_body()
            with self.hub.lock:
                self.hub.requests.append((self.command, self.path, len(self.data)))
                if fault:
                    raise Answer({"error": fault[4]}, fault[2])
                self.route()
        except Answer as answer:
            self.send_response(answer.status)
            headers = {"Content-Type": "application/json", **answer.headers, "Content-Length": str(len(answer.body))}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def next_fault(self) -> list | None:
        for fault in self.hub.faults:
            if fault[0] == self.command and fault[1] in self.path and fault[3]:
                fault[3] -= 1
                return fault
        return None

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def route(self):
        self.parts = urlsplit(self.path)
        for method, pattern, handler in ROUTES:
            found = re.fullmatch(pattern, self.parts.path)
            if found and self.command in method:
                handler(self, **{name: unquote(value) for name, value in found.groupdict(default="").items()})
        raise Answer({"error": f"unknown path {self.path}"}, 404)

    @property
    def logged_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def need_login(self):
        if not self.logged_in:
            raise Answer({"error": "Invalid username or password."}, 401)

    def find(self, repo: str, revision: str) -> tuple[Repo, str]:
        found = self.hub.repos.get(repo)
        if found is None or (found.private and not self.logged_in):
            raise missing("RepoNotFound")
        oid = found.at(revision)
        if oid is None:
            raise missing("RevisionNotFound")
        return found, oid

    def whoami(self):
        self.need_login()
        role = {"accessToken": {"role": "write", "displayName": "local"}}
        raise Answer({"type": "user", "name": USER, "orgs": [], "auth": role})

    def validate(self):
        """The rules of the Hub that a card of ours could break."""
        header = re.match(r"---\n(.*?)\n---\n", json.loads(self.data)["content"], re.DOTALL)
        card, errors = yaml.safe_load(header[1]) if header else {}, []
        for name in ("license", "pipeline_tag", "library_name"):
            if not isinstance(card.get(name, ""), str):
                errors.append(f'"{name}" must be a string')
        if card.get("license") == "other" and not card.get("license_name"):
            errors.append('"license_name" is required where the license is other')
        for name in ("tags", "datasets", "base_model", "metrics"):
            if not all(isinstance(each, str) and each for each in card.get(name, [])):
                errors.append(f'"{name}" must be a list of strings')
        for index in card.get("model-index", []):
            for result in index["results"]:
                if not result["task"].get("type") or not {"type", "name"} <= result["dataset"].keys():
                    errors.append('"model-index" needs task.type, dataset.type and dataset.name')
        status = 400 if errors else 200
        raise Answer({"errors": [{"message": error} for error in errors], "warnings": []}, status)

    def create(self):
        self.need_login()
        asked = json.loads(self.data)
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        answer = {"url": f"{self.hub.url}/{name}", "name": name, "id": name}
        if name in self.hub.repos:
            raise Answer({**answer, "error": "You already created this model repo"}, 409)
        self.hub.repos[name] = Repo(private=asked.get("visibility") == "private")
        self.hub.repos[name].add(Commit({".gitattributes": b"*.safetensors filter=lfs"}, "initial commit"))
        raise Answer(answer)

    def branch(self, repo: str, name: str):
        self.need_login()
        found, oid = self.find(repo, "main")
        if name in found.refs:
            raise Answer({"error": "Reference already exists"}, 409)
        found.refs[name] = oid
        raise Answer()

    def tag(self, repo: str, revision: str):
        self.need_login()
        found, oid = self.find(repo, revision)
        name = json.loads(self.data)["tag"]
        if name in found.refs:
            raise Answer({"error": "Tag reference exists already"}, 409)
        found.refs[name] = oid
        raise Answer()

    def preupload(self, repo: str, revision: str):
        self.need_login()
        found, oid = self.find(repo, revision)
        there, answer = found.commits[oid].files, []
        for file in json.loads(self.data)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LARGE) else "regular"
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False})
            if path in there:
                answer[-1]["oid"] = object_id(path, there[path])
        raise Answer({"files": answer})

    def batch(self, repo: str):
        self.need_login()
        objects = json.loads(self.data)["objects"]
        for each in objects:
            if (repo, each["oid"]) not in self.hub.blobs:
                each["actions"] = {"upload": {"href": f"{self.hub.url}/large/{repo}/{each['oid']}"}}
        raise Answer({"transfer": "basic", "objects": objects})

    def put(self, repo: str, oid: str):
        if hashlib.sha256(self.data).hexdigest() != oid:
            raise Answer({"error": "content and hash differ"}, 422)
        self.hub.blobs[repo, oid] = self.hub.tamper(self.data) if self.hub.tamper else self.data
        raise Answer()

    def commit(self, repo: str, revision: str):
        self.need_login()
        found, parent = self.find(repo, revision)
        files, message = dict(found.commits[parent].files), ""
        for line in self.data.splitlines():
            key, value = (operation := json.loads(line))["key"], operation["value"]
            if key == "header":
                message = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.blobs[repo, value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        ref, answer = revision, {}
        if "create_pr" in parse_qs(self.parts.query):
            ref = f"refs/pr/{1 + sum(ref.startswith('refs/pr/') for ref in found.refs)}"
            answer = {"pullRequestUrl": f"{self.hub.url}/{repo}/discussions/{ref.rpartition('/')[2]}"}
        oid = found.add(Commit(files, message, parent), ref)
        raise Answer({"commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", **answer})

    def info(self, repo: str, revision: str):
        found, oid = self.find(repo, revision or "main")
        readme = found.commits[oid].files.get("README.md", b"").decode()
        header = re.match(r"---\n(.*?)\n---\n", readme, re.DOTALL)
        siblings = [{"rfilename": path} for path in sorted(found.commits[oid].files)]
        answer = {"id": repo, "modelId": repo, "sha": oid, "private": found.private, "siblings": siblings, "tags": []}
        raise Answer({**answer, **({"cardData": yaml.safe_load(header[1])} if header else {})})

    def tree(self, repo: str, revision: str, folder: str):
        found, oid = self.find(repo, revision)
        files = found.commits[oid].files
        there = [path for path in sorted(files) if path.startswith(f"{folder}/" if folder else "")]
        if "recursive=true" not in self.parts.query.lower():
            there = [path for path in there if "/" not in path[len(folder) :].strip("/")]
        if folder and not there:
            raise missing("EntryNotFound")
        raise Answer([entry(path, files[path]) for path in there])

    def paths(self, repo: str, revision: str):
        found, oid = self.find(repo, revision)
        files = found.commits[oid].files
        is_json = self.headers["Content-Type"] == "application/json"
        asked = json.loads(self.data)["paths"] if is_json else parse_qs(self.data.decode())["paths"]
        raise Answer([entry(path, files[path]) for path in asked if path in files])

    def resolve(self, repo: str, revision: str, path: str):
        found, oid = self.find(repo, revision)
        files, headers = found.commits[oid].files, {"X-Repo-Commit": oid}
        if path not in files:
            raise Answer({"error": "no such file"}, 404, **headers, **{"X-Error-Code": "EntryNotFound"})
        raise Answer(files[path], ETag=f'"{object_id(path, files[path])}"', **headers)


def object_id(path: str, content: bytes) -> str:
    """What git names a file by: SHA-256 where it is large, else SHA-1 of its blob."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path: str, content: bytes) -> dict:
    large = {"lfs": {"oid": object_id(path, content), "size": len(content), "pointerSize": 130}}
    known = {"type": "file", "path": path, "size": len(content), "oid": object_id(path, content)}
    return {**known, **(large if path.endswith(LARGE) else {})}


ROUTES = [
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", rf"{API}/branch/(?P<name>.+)", Handler.branch),
    ("POST", rf"{API}/tag/(?P<revision>.+)", Handler.tag),
    ("POST", rf"{API}/preupload/(?P<revision>.+)", Handler.preupload),
    ("POST", rf"{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", rf"/large{REPO}/(?P<oid>.+)", Handler.put),
    ("POST", rf"{API}/commit/(?P<revision>.+)", Handler.commit),
    ("GET", rf"{API}(/revision/(?P<revision>.+))?", Handler.info),
    ("GET", rf"{API}/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?", Handler.tree),
    ("POST", rf"{API}/paths-info/(?P<revision>.+)", Handler.paths),
    ("GET HEAD", rf"{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
]
