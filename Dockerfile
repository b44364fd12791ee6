# syntax=docker/dockerfile:1
# Built as it is tested: the lock file decides. The C compiler that SQLite and TLS need is in the first image.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release -p tutti \
    && install -D target/release/tutti /out/tutti \
    && mkdir -m 0700 /out/data /out/etc

# The same Debian as above, so that the C library fits; certificates are in it, a shell is not.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Tutti" \
      org.opencontainers.image.description="Runs teams of AI agents so that an operator can trust them" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/tutti /usr/local/bin/tutti
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /out/data /data
# tutti.toml is looked for where the process starts.
COPY --from=build --chown=65532:65532 /out/etc /etc/tutti
WORKDIR /etc/tutti
# Every address, so in protected mode: whoever calls from outside the container needs the key of `tutti key show`.
ENV AGENT_ORCHESTRATOR_HOST=0.0.0.0 \
    AGENT_ORCHESTRATOR_PORT=8000 \
    TUTTI_DATA=/data
VOLUME /data
EXPOSE 8000
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/tutti", "health"]
ENTRYPOINT ["/usr/local/bin/tutti"]
CMD ["serve"]
