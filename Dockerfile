# One image for all of Airflow's services: the hashed lock, the package as a wheel, the DAGs, the pipelines and the plugin.
# Another base of the same Airflow goes by one argument, for example Astronomer's runtime:
#   docker build --build-arg BASE=quay.io/astronomer/astro-runtime:<version> .
# A company's own CA bundle is handed in as a secret and stays in no layer:
#   docker build --secret id=ca_bundle,src=/etc/ssl/certs/ca-certificates.crt .
ARG BASE=apache/airflow:3.3.2-python3.12

FROM ${BASE} AS environment
USER 50000:0
ENV UV_LINK_MODE=copy UV_NO_PROGRESS=1 PYTHONUNBUFFERED=1
# Airflow's image keeps a virtual environment, which becomes the lock exactly. Other bases install into the system's Python, and lean on
# packages of their own there, which stay. Airflow starts three times slower without compiled bytecode.
RUN --mount=type=cache,id=ducklift-uv,target=/tmp/uv,uid=50000,gid=0 \
    --mount=type=secret,id=ca_bundle,uid=50000,mode=0400 \
    --mount=type=bind,source=requirements-image.txt,target=/tmp/requirements-image.txt \
    set -eu; export UV_CACHE_DIR=/tmp/uv; \
    if [ -s /run/secrets/ca_bundle ]; then export SSL_CERT_FILE=/run/secrets/ca_bundle; fi; \
    if [ -n "${VIRTUAL_ENV:-}" ]; then uv pip sync --require-hashes --compile-bytecode /tmp/requirements-image.txt; \
    else uv pip install --system --require-hashes --compile-bytecode -r /tmp/requirements-image.txt; fi

# What builds the wheel stays in this stage.
FROM environment AS wheel
WORKDIR /tmp/source
COPY --chown=50000:0 requirements.txt pyproject.toml README.md ./
RUN --mount=type=cache,id=ducklift-uv,target=/tmp/uv,uid=50000,gid=0 \
    --mount=type=secret,id=ca_bundle,uid=50000,mode=0400 \
    set -eu; export UV_CACHE_DIR=/tmp/uv; \
    if [ -s /run/secrets/ca_bundle ]; then export SSL_CERT_FILE=/run/secrets/ca_bundle; fi; \
    if [ -n "${VIRTUAL_ENV:-}" ]; then system=""; else system="--system"; fi; \
    uv pip install $system --require-hashes -r requirements.txt
COPY --chown=50000:0 include/ducklift include/ducklift
RUN python -m hatchling build -t wheel -d /tmp/wheels

FROM environment
ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/ducklift/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/ducklift/plugins \
    DUCKLIFT_PROJECT=/opt/ducklift
COPY dags /opt/ducklift/dags
COPY include/pipelines /opt/ducklift/include/pipelines
# What pipelines name by a file, and where values lie: not every project has them, which the patterns allow.
COPY include/source[s] /opt/ducklift/include/sources
COPY include/storage.yam[l] /opt/ducklift/include/
COPY plugin[s] /opt/ducklift/plugins
# Airflow writes its configuration file where there is none, which a read-only root refuses: an empty one says the same as none.
RUN --mount=type=bind,from=wheel,source=/tmp/wheels,target=/tmp/wheels \
    set -eu; \
    if [ -n "${VIRTUAL_ENV:-}" ]; then system=""; else system="--system"; fi; \
    uv pip install $system --no-cache --no-index --no-deps --compile-bytecode /tmp/wheels/*.whl; \
    touch "${AIRFLOW_HOME}/airflow.cfg"; ducklift --help >/dev/null
WORKDIR /opt/ducklift
