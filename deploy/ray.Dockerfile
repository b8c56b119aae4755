# What a Ray cluster runs that scores films: the image of every node, head and workers alike (docs/scale-ray.md).
#
#   docker build -t tbconv-ray:0.1.0 -f deploy/ray.Dockerfile .
ARG BASE=python:3.12-slim
FROM ${BASE}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY lock lock
RUN pip install --require-hashes --only-binary :all: -r lock/ray-cluster.txt
COPY pyproject.toml README.md LICENSE ./
COPY tbconv tbconv
COPY torch_train torch_train
COPY convert convert
COPY tf_serve tf_serve
RUN pip install --no-deps ".[ray-cluster]"
# Ray tells nobody of its use, and nobody without the token of the cluster is let in.
ENV RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532
