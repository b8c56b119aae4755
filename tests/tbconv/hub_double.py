"""A double of the Hugging Face Hub: the addresses that a push calls, over real HTTP, with files kept in memory."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REGULAR = (".md", ".json")  # what the Hub takes into the commit itself; the rest goes by LFS
TOKEN = "hf_of_a_test"


class Hub:
    """Repositories by name: files by path; and what was asked."""

    def __init__(self):
        self.repos, self.private, self.objects, self.calls = {}, {}, {}, []
        self.owner, self.refuses = "lab", set()  # (method, address) patterns answered with 403
        self.agents, self.validated = set(), []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def _answer(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if status >= 400:
            self.send_header("x-error-message", value["error"])  # where the library reads it
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _handle(self):  # noqa: PLR0911  (an answer an address)
        hub, body = self.hub, self._body()
        path = self.path.partition("?")[0]
        hub.calls.append((self.command, path))
        hub.agents.add(self.headers.get("user-agent", ""))
        if path.startswith("/lfs/"):
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/lfs/")
            hub.objects[path.removeprefix("/lfs/")] = body
            return self._answer({})
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid credentials in Authorization header"}, 401)
        if any(re.search(pattern, f"{self.command} {path}") for pattern in hub.refuses):
            return self._answer({"error": "You don't have the rights to do this"}, 403)
        if path == "/api/whoami-v2":
            return self._answer({"name": hub.owner, "type": "user"})
        if path == "/api/validate-yaml":
            hub.validated.append(json.loads(body))
            return self._answer({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/(tree|preupload|commit)/main", path):
            return getattr(self, f"_{found[2]}")(found[1], body)
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(/revision/main)?", path):
            return self._answer({"id": found[1], "sha": "0" * 40, "siblings": [], "private": True})
        return self._answer({"error": f"no such address: {path}"}, 404)

    do_GET = do_POST = do_PUT = _handle

    def _create(self, asked):
        name = f"{asked.get('organization') or self.hub.owner}/{asked['name']}"
        address = {"url": f"http://{self.headers['host']}/{name}", "name": name, "id": name}
        if name in self.hub.repos:
            return self._answer({"error": "You already created this model repo", **address}, 409)
        self.hub.repos[name] = {".gitattributes": b"*.tflite filter=lfs\n"}
        self.hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
        return self._answer(address)

    def _tree(self, name, _):
        files = self.hub.repos[name]
        rows = [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in sorted(files.items())
        ]
        return self._answer(rows)

    def _preupload(self, _, body):
        files = [
            {
                "path": one["path"],
                "uploadMode": "regular" if one["path"].endswith(REGULAR) else "lfs",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in json.loads(body)["files"]
        ]
        return self._answer({"files": files})

    def _batch(self, asked):
        rows = []
        for one in asked["objects"]:
            row = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.objects:
                row["actions"] = {"upload": {"href": f"http://{self.headers['host']}/lfs/{one['oid']}"}}
            rows.append(row)
        return self._answer({"transfer": "basic", "objects": rows})

    def _commit(self, name, body):
        files = self.hub.repos[name]
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return self._answer(
            {"commitUrl": f"http://{self.headers['host']}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40}
        )


@contextmanager
def running():
    """Yield a hub and its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
