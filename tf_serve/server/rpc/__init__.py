"""The Open Inference Protocol over gRPC (`serve --grpc-port`): another door to the room that HTTP opens into."""

import os

# gRPC's core writes lines of its own to stderr at what clients send; ours go through tf_serve.telemetry.logs
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
