"""What the server takes from Uvicorn beyond its documented interface is there; other versions are not installed."""

import ast
import asyncio
import inspect
from importlib import metadata
from pathlib import Path

import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tf_serve.server import connection, process

OURS = [process.Server, process.WorkerServer, connection.BoundedProtocol]
OVERRIDDEN = {
    uvicorn.Server: {"startup", "handle_exit", "on_tick", "shutdown"},
    HttpToolsProtocol: {
        *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
        *("on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete"),
        "on_response_complete",
    },
}


@pytest.mark.parametrize(("base", "names"), OVERRIDDEN.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_every_method_that_is_overridden_is_called_so_by_uvicorn(base, names):
    for ours in (one for one in OURS if issubclass(one, base)):
        found = {name for name, value in vars(ours).items() if inspect.isfunction(value) and hasattr(base, name)}
        assert found - {"__init__"} <= names, ours
        for name in found - {"__init__"}:
            parameters = [list(inspect.signature(getattr(one, name)).parameters) for one in (base, ours)]
            assert parameters[0] == parameters[1], (ours, name)
    used = ast.parse(inspect.getsource(inspect.getmodule(base)))
    called = {node.attr for node in ast.walk(used) if isinstance(node, ast.Attribute)}
    by_others = {"connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"}  # asyncio
    by_others |= {name for name in names if name.startswith("on_") and base is HttpToolsProtocol}  # httptools
    assert names - by_others <= called


def attributes(source, name):
    """Return what is read or set of a variable in a module."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == name}


def test_every_attribute_that_is_used_of_a_connection_a_request_and_a_server_is_there():
    async def look():
        async def app(scope, receive, send):
            """Never called."""

        config = uvicorn.Config(app, http=connection.BoundedProtocol, ws="none", lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        one = config.http_protocol_class(config=config, server_state=server.server_state, app_state={})
        one.on_message_begin()
        source = Path(connection.__file__).read_text()
        missing = {name for name in attributes(source, "self") if not hasattr(one, name)}
        needed = attributes(source, "cycle") | {"body", "keep_alive"}
        made = inspect.getsource(RequestResponseCycle.__init__)
        missing |= needed - attributes(inspect.cleandoc(made), "self")
        source = Path(process.__file__).read_text()
        assert {"server_state", "lifespan", "should_exit", "config"} <= attributes(source, "self")
        ours = process.Server(config)
        ours.servers, ours.lifespan = [], server.lifespan  # made as it starts
        body = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "Server")
        missing |= {name for name in attributes(ast.unparse(body), "self") if not hasattr(ours, name)}
        return missing | ({"servers"} - attributes(inspect.getsource(uvicorn.server), "self"))

    assert asyncio.run(look()) == set()


def test_the_versions_of_uvicorn_and_its_parser_that_may_be_installed_are_bounded():
    requirements = {one.name: one for one in map(Requirement, metadata.requires("tbconv"))}
    declared = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for name in ("uvicorn", "httptools"):
        assert name in requirements
        [line] = [line for line in declared.splitlines() if line.strip().startswith(f'"{name}>=')]
        requirement = Requirement(line.strip().strip('",'))
        assert any(one.operator == "<" for one in requirement.specifier), line
        assert metadata.version(name) in requirement.specifier
