# Word Up! in a container: non-root, works with a read-only root file system; everything it writes goes to /data.
# For an NVIDIA GPU build with --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
FROM python:3.13-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /venv && /venv/bin/pip install --index-url "$TORCH_INDEX" torch==2.13.0
COPY requirements.lock ./
RUN /venv/bin/pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE NOTICE.md ./
COPY bot bot
COPY engine engine
COPY migrations migrations
RUN /venv/bin/pip install --no-deps .

FROM python:3.13-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home wordup && install -d -o wordup -g wordup /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp HF_HUB_OFFLINE=1 \
    WORDUP_DATA_DIR=/data WORDUP_WEB_HOST=0.0.0.0 WORDUP_METRICS_HOST=0.0.0.0 WORDUP_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080 9108
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9108/healthz', timeout=4)"]
ENTRYPOINT ["wordup"]
CMD ["run"]
