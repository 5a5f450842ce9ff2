"""The client library as files: how gateways serve it, how npm packs it, what its types say."""

import json
import re
import shutil
import subprocess

import pytest

from harness import PATIENCE, Gateway, free_port
from library import ENVIRONMENT, MODULE, SCRIPTS, needs_node
from wire import RawHttp

FOLDER = MODULE.parent
FILES = {"/fanfare.js": "text/javascript; charset=utf-8", "/fanfare.d.ts": "text/plain; charset=utf-8"}


def run(*command, cwd):
    result = subprocess.run([str(part) for part in command], cwd=cwd, text=True, capture_output=True,
                            env=ENVIRONMENT, stdin=subprocess.DEVNULL, timeout=60 * PATIENCE, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


# -- served ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", FILES)
def test_every_gateway_serves_it(gateway, tmp_path, path):
    content = (FOLDER / path[1:]).read_bytes()
    port = free_port()
    embedded = Gateway(tmp_path / "empty", None, port=port,
                       environment={"FANFARE_SERVER__LISTEN": f'["127.0.0.1:{port}"]'}).start()
    try:
        tags = set()
        for one in (gateway, embedded):
            answer = one.http("GET", path, headers={"Origin": "https://elsewhere.example"})
            assert answer.status == 200 and answer.body == content
            assert answer.headers["Content-Type"] == FILES[path]
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-cache"
            tags.add(answer.headers["ETag"])
        assert len(tags) == 1      # nodes behind one address agree
    finally:
        embedded.stop()


def test_who_has_it_is_told_so(gateway):
    tag = gateway.http("GET", "/fanfare.js").headers["ETag"]
    assert re.fullmatch(r'"[!#-~]+"', tag)
    for have in (tag, f"W/{tag}", f'"other", {tag}', f'{tag},"other"', "*"):
        answer = gateway.http("GET", "/fanfare.js", headers={"If-None-Match": have})
        assert answer.status == 304 and answer.body == b"", have
        assert answer.headers["ETag"] == tag and answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cache-Control"] == "no-cache"
    with RawHttp(gateway) as raw:      # a list may come as several lines
        raw.send(raw.request("GET", "/fanfare.js", 'If-None-Match: "other"', f"If-None-Match: {tag}"))
        assert raw.answer().status == 304
    for have in ('"other"', tag.strip('"'), tag[:-1] + 'x"', f'"x{tag[1:]}'):
        answer = gateway.http("GET", "/fanfare.js", headers={"If-None-Match": have})
        assert answer.status == 200 and answer.body, have
    assert gateway.http("GET", "/fanfare.d.ts").headers["ETag"] != tag


def test_other_methods(gateway):
    head = gateway.http("HEAD", "/fanfare.js")
    assert head.status == 200 and head.body == b""
    assert int(head.headers["Content-Length"]) == MODULE.stat().st_size
    answer = gateway.http("POST", "/fanfare.js", {})
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD, OPTIONS"


# -- packed ---------------------------------------------------------------------------------------------

USE = ('import { connect, FanfareError } from "fanfare-client";'
       'console.log(typeof connect, new FanfareError("c", "m").code)')


@needs_node
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_npm_packs_and_installs_it(tmp_path):
    offline = ("--offline", "--no-audit", "--no-fund", "--cache", tmp_path / "cache")
    packed = json.loads(run("npm", "pack", FOLDER, "--json", *offline, cwd=tmp_path))[0]
    assert {one["path"] for one in packed["files"]} == {
        "README.md", "fanfare.d.ts", "fanfare.js", "package.json"}
    user = tmp_path / "user"
    user.mkdir()
    (user / "package.json").write_text('{"name": "user", "private": true, "type": "module"}')
    run("npm", "install", tmp_path / packed["filename"], *offline, cwd=user)
    assert run("node", "--input-type=module", "-e", USE, cwd=user) == "function c\n"


@needs_node
def test_it_is_a_package_as_it_lies(tmp_path):
    """What npm would do, for where there is no npm: the listed files, imported by name."""
    package = json.loads((FOLDER / "package.json").read_text())
    target = tmp_path / "node_modules" / package["name"]
    target.mkdir(parents=True)
    for name in [*package["files"], "package.json"]:
        shutil.copy(FOLDER / name, target)
    assert run("node", "--input-type=module", "-e", USE, cwd=tmp_path) == "function c\n"
    assert "dependencies" not in package and package["engines"] == {"node": ">=18"}
    assert re.search(rf"project\(fanfare VERSION {re.escape(package['version'])} ",
                     (MODULE.parents[4] / "CMakeLists.txt").read_text())


# -- types ----------------------------------------------------------------------------------------------

@needs_node
def test_the_types_name_what_there_is(tmp_path):
    names = json.loads(run("node", "--input-type=module", "-e", f"""
        import * as fanfare from "{MODULE}";
        const own = Object.getOwnPropertyNames(fanfare.Client.prototype).filter((name) => name !== "constructor");
        console.log(JSON.stringify({{ exports: Object.keys(fanfare), client: own }}));""", cwd=tmp_path))
    types = (FOLDER / "fanfare.d.ts").read_text()
    assert set(names["exports"]) == set(re.findall(r"^export (?:function|class|const) (\w+)", types, re.M))
    body = re.search(r"^export class Client \{(.*?)^\}", types, re.M | re.S).group(1)
    declared = set(re.findall(r"^  (?:readonly )?(\w+)[<(:]", body, re.M)) - {"private"}
    assert set(names["client"]) == declared
    source = MODULE.read_text()
    for pattern, interface in ((r"CALLBACKS = new Set\(\[(.*?)\]\)", "Callbacks"),
                               (r"EVENTS = new Set\(\[\.\.\.CALLBACKS, (.*?)\]\)", "ClientEvents")):
        there = set(re.findall(r'"(\w+)"', re.search(pattern, source).group(1)))
        body = re.search(rf"^export interface {interface}\b.*?\{{(.*?)^\}}", types, re.M | re.S).group(1)
        assert there <= set(re.findall(r"^  (\w+)\??[:(]", body, re.M)), interface


@needs_node
@pytest.mark.skipif(shutil.which("tsc") is None, reason="needs node-typescript")
@pytest.mark.parametrize("module", ["node16", "es2022"])
def test_the_types_compile(tmp_path, module):
    target = tmp_path / "node_modules" / "fanfare-client"
    shutil.copytree(FOLDER, target)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(SCRIPTS / "types.ts", tmp_path)
    run("tsc", "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noImplicitOverride", "--lib", "es2022,dom",
        "--target", "es2022", "--module", module,
        "--moduleResolution", "node16" if module == "node16" else "node", "types.ts", cwd=tmp_path)
