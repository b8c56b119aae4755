# The server alone: LiteRT, the web stack and DICOM, neither torch nor TensorFlow. `make deploy-check` reads this
# file and runs its steps without Docker, so keep to the forms it knows (it says so where it meets another).
#
#   docker build -t tbconv-serve:0.1.0 .
#   docker run --read-only --tmpfs /tmp:size=512m --cap-drop ALL -p 8080:8080 -v "$PWD/bundle:/models/kermany:ro" tbconv-serve:0.1.0
FROM python:3.12-slim AS build
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/tbconv
COPY pyproject.toml README.md LICENSE ./
COPY tbconv tbconv
COPY torch_train torch_train
COPY convert convert
COPY tf_serve tf_serve
RUN /opt/tbconv/bin/pip install --no-compile ".[serve]"
# pip is of no use in the image; byte code is written once here, since a read-only root takes none later
RUN /opt/tbconv/bin/python -m pip uninstall --yes --quiet pip
RUN /opt/tbconv/bin/python -m compileall -q /opt/tbconv/lib

FROM python:3.12-slim
COPY --from=build /opt/tbconv /opt/tbconv
# A bundle that was put into deploy/models before the build travels in the image; else mount one at /models/NAME.
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
CMD ["tbconv", "serve", "/models", "--log-format", "json"]
