# The server and the check of signatures: LiteRT, the web stack, DICOM and model-signing, neither torch nor TensorFlow.
# `make deploy-check` reads this file and runs its steps without Docker, so keep to the forms it knows (it says so where
# it meets another).
#
#   docker build -t tbconv-serve:0.1.0 --build-arg BASE=python:3.12-slim@sha256:DIGEST .   (docs/operations.md)
#   docker run --read-only --tmpfs /tmp:size=512m --cap-drop ALL -p 8080:8080 -v "$PWD/bundle:/models/kermany:ro" tbconv-serve:0.1.0
ARG BASE=python:3.12-slim
FROM ${BASE} AS build
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY lock lock
# what builds this project and lists what is in the image; it stays in this stage
RUN python -m venv /opt/build
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r lock/build.txt
# nothing comes that lock/ has no hash of, and no setup script of another project runs
RUN python -m venv /opt/tbconv
RUN /opt/tbconv/bin/pip install --no-compile --require-hashes --only-binary :all: --report /opt/build/installed.json \
  -r lock/serve.txt -r lock/sign.txt
COPY pyproject.toml README.md LICENSE ./
COPY tbconv tbconv
COPY torch_train torch_train
COPY convert convert
COPY tf_serve tf_serve
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/build/wheels ".[serve,sign]"
RUN /opt/tbconv/bin/pip install --no-compile --no-deps --no-index /opt/build/wheels/*.whl
# JPEG and JPEG-LS are two of imagecodecs' 80 codecs; the others and their libraries, 80 MB, are never loaded here
RUN cd /opt/tbconv/lib/python3.12/site-packages && \
  find imagecodecs -name "_*.so" ! -name "_jpeg8.*" ! -name "_jpegls.*" ! -name "_shared*" -delete && \
  find imagecodecs.libs -name "*.so*" ! -name "libjpeg-*" ! -name "libcharls-*" -delete
# pip is of no use in the image; byte code is written once here, since a read-only root takes none later
RUN /opt/tbconv/bin/python -m pip uninstall --yes --quiet pip
COPY deploy/sbom.py ./
RUN /opt/build/bin/python sbom.py /opt/tbconv/bin/python /opt/build/installed.json /opt/tbconv/sbom.cdx.json
RUN /opt/tbconv/bin/python -m compileall -q /opt/tbconv/lib
# A bundle by address and digest, if both are given (docs/render.md); the server checks the rest of it
# before it is ready, as it does any bundle.
ARG BUNDLE_URL=
ARG BUNDLE_SHA256=
COPY deploy/fetch.py ./
RUN /opt/build/bin/python fetch.py /models

FROM ${BASE}
COPY --from=build /opt/tbconv /opt/tbconv
# A bundle that was fetched above, or put into deploy/models before the build, travels in the image; else mount one at
# /models/NAME.
COPY --from=build /models /models
COPY deploy/models /models
ENV PATH=/opt/tbconv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV PORT=8080
# The one place that is written: a private copy of the file that answers. /tmp has to be writable.
WORKDIR /tmp
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as ask; ask.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/v2/health/ready', timeout=2)"]
CMD ["tbconv", "serve", "/models", "--watch", "--log-format", "json"]
