# syntax=docker/dockerfile:1
# radstream with its model and ONNX Runtime.
#
#   docker build -t radstream .                                   CPU, x86_64 or aarch64
#   docker build -t radstream:cuda --build-arg VARIANT=cuda .     NVIDIA GPU, x86_64
#
# The CUDA variant carries CUDA 13 and cuDNN 9; the host needs a driver for CUDA 13 and the NVIDIA
# container toolkit (docker run --gpus 1).
ARG VARIANT=cpu

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libssl-dev make perl pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --bin radstream \
    && install -D target/dist/radstream /out/radstream

FROM python:3.11-slim-bookworm AS onnxruntime
ARG VARIANT
WORKDIR /src
COPY scripts scripts
RUN scripts/fetch-onnxruntime.sh "$VARIANT" \
    && mkdir /out \
    && if [ "$VARIANT" = cuda ]; then mv .deps/onnxruntime-cuda /out/lib; else mv .deps/onnxruntime /out/lib; fi

FROM debian:bookworm-slim AS base
# libssl3 and ca-certificates are Debian's, so that security updates reach them.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home radstream
WORKDIR /opt/radstream
COPY --from=onnxruntime /out/lib lib
COPY --from=build /out/radstream radstream
COPY models/default models/default
COPY models/gold models/gold
COPY config/radstream.toml config/radstream.toml
COPY schemas schemas
COPY LICENSE LICENSE
RUN ln -s /opt/radstream/radstream /usr/local/bin/radstream
# The endpoints must be reachable from outside of the container, and collectors read JSON.
ENV RADSTREAM__HTTP__LISTEN=0.0.0.0:9600 \
    RADSTREAM__LOG__FORMAT=json
USER 10001
EXPOSE 9600
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/radstream/radstream"]
CMD ["--help"]

FROM base AS variant-cpu

FROM base AS variant-cuda
# NVIDIA's libraries stand beside ONNX Runtime; libcuda itself is the host driver's.
ENV LD_LIBRARY_PATH=/opt/radstream/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    RADSTREAM__STUDENT__DEVICE=cuda

# hadolint ignore=DL3006
FROM variant-${VARIANT}
