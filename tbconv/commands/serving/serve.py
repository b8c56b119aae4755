"""`tbconv serve`: a bundle, or a folder of bundles, over HTTP, with a page for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tbconv.commands.options import PublicKey, RequireSignature, signature_rule
from tbconv.console import TerminalReporter

# as tf_serve spells them, which is loaded only when the command runs; a test compares them
GateWord = Literal["strict", "basic", "off"]
FormatWord = Literal["text", "json"]
LevelWord = Literal["debug", "info", "warning", "error"]


def serve(
    bundle: Annotated[
        Path,
        typer.Argument(
            help="Bundle that tbconv convert wrote; or a folder of them, NAME/ or NAME/1/, that is watched.",
            show_default=False,
        ),
    ],
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve a folder that holds no bundle yet, and wait for one.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1, or 0.0.0.0 where $PORT is set.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; $PORT, or 8080. 0 takes any free one.")] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the Open Inference Protocol over gRPC; off by default."),
    ] = None,
    artefact: Annotated[
        str | None, typer.Option(help="TFLite file; the one that each certificate proposes by default.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Films processed in parallel in one process; one a core by default."),
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait; further ones get 503 at once.")] = 16,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds in the queue; then 503, and it is not run.")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="Processes behind the port.")] = 1,
    versions: Annotated[int, typer.Option(min=1, help="Versions of a model held in memory.")] = 2,
    default_model: Annotated[
        str | None, typer.Option(help="Model for requests that name none; the most trusted by default.")
    ] = None,
    admin_token: Annotated[
        str | None,
        typer.Option(envvar="TBCONV_ADMIN_TOKEN", help="Token for loading, unloading and rolling back models."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="TBCONV_TOKEN", help="Token that every request needs; health and the page stay open."),
    ] = None,
    require_signature: RequireSignature = False,
    public_key: PublicKey = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin whose pages may call the API, https://viewer.example.org; repeatable."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Host name that requests may use, *.example.org; any by default.")
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, max=64, help="Megabytes of one request.")] = 64,
    site: Annotated[
        Path | None, typer.Option(help="site.json of `tbconv evaluate --bundle`: show this site's figures.")
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path below which a proxy shows the server, /xray, whether it takes it off or not.")
    ] = "",
    gate: Annotated[
        GateWord, typer.Option(help="What the input gate checks; basic: size, shape, colour and blank pictures alone.")
    ] = "strict",
    log_format: Annotated[
        FormatWord, typer.Option(help="json: one object a line, nothing of a patient in it.")
    ] = "text",
    log_level: Annotated[LevelWord, typer.Option(help="debug also logs requests of probes.")] = "info",
) -> None:
    """Serve certified networks, or their baselines and the reason, until Ctrl-C."""
    from tf_serve.runtime.trial import prepare

    prepare()  # it imports LiteRT while this process imports the rest
    from tf_serve.gate.rules import GateLevel
    from tf_serve.server import process
    from tf_serve.settings import MB, LogFormat, LogLevel, Settings, usable_cores

    chosen_host, chosen_port = process.choose_address(host, port)
    settings = Settings(
        root=bundle,
        artefact=artefact,
        threads=threads or max(1, usable_cores() // workers),
        queue=queue,
        deadline_s=deadline,
        workers=workers,
        versions=versions,
        default=default_model,
        admin_token=admin_token,
        token=token,
        cors_origins=tuple(cors_origin or ()),
        hosts=tuple(allowed_host or ()),
        signature=signature_rule(public_key, required=require_signature),
        max_body=max_body * MB,
        site=site,
        root_path=root_path.rstrip("/"),
        gate=GateLevel(gate),
        log_format=LogFormat(log_format),
        log_level=LogLevel(log_level),
    )
    config = process.ServeConfig(
        settings=settings, host=chosen_host, port=chosen_port, watch=watch, grpc_port=grpc_port
    )
    process.serve(config, reporter=TerminalReporter())
