# The image: one static program on a base without a shell, run by a user without rights. docs/install.md says how it is
# built, for two architectures, and how it is run.
#
#   docker build --tag introspectd .

# By its exact version. Not by digest: no registry of images could be asked for it where this was written, and one that
# nobody has checked is worse than none. docs/install.md says how to pin it, and how to build on distroless/static instead
# of on nothing: both are arguments.
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=scratch

# On the machine that builds, whatever it builds for: a compiler for the other processor is faster than emulating one.
FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build
ARG BUILDARCH
ARG TARGETARCH
RUN case "$BUILDARCH to $TARGETARCH" in \
      "amd64 to arm64") packages="gcc-aarch64-linux-gnu musl-dev:arm64" ;; \
      "arm64 to amd64") packages="gcc-x86-64-linux-gnu musl-dev:amd64" ;; \
      *) packages=musl-tools ;; \
    esac && \
    dpkg --add-architecture "$TARGETARCH" && apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates $packages && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY deploy deploy
COPY src src
# cargo wants to see all members of the workspace.
COPY bench bench
COPY loadtest loadtest
COPY tests tests
# In CARGO_HOME: what is downloaded. In target: what was built before, for each architecture by itself.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target,id=introspectd-target-${TARGETARCH} \
    deploy/build-static --target "$TARGETARCH" --out /out && deploy/notices "$TARGETARCH" >/out/THIRD-PARTY
# A folder that the service may write to, for a volume to begin with.
RUN install --directory --mode=700 /out/data
# What the service wants of a base, as distroless/static has it: who the user is, and which authorities are trusted.
RUN install -D --mode=644 /etc/ssl/certs/ca-certificates.crt /out/base/etc/ssl/certs/ca-certificates.crt && \
    echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin' >/out/base/etc/passwd && \
    echo 'nonroot:x:65532:' >/out/base/etc/group

FROM ${BASE_IMAGE}
COPY --from=build /out/base/ /
COPY --from=build /out/introspectd /usr/local/bin/introspectd
COPY --from=build --chown=65532:65532 /out/data /var/lib/introspectd
COPY deploy/image.toml /etc/introspectd/introspectd.toml
COPY --from=build /out/THIRD-PARTY /usr/share/doc/introspectd/THIRD-PARTY
COPY LICENSE /usr/share/doc/introspectd/LICENSE

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="introspectd" \
      org.opencontainers.image.description="Token introspection, issue and revocation service for a fleet of APIs (RFC 7662, RFC 7009)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

# By number: only then can Kubernetes see that it is not root.
USER 65532:65532
EXPOSE 8080 8081
# Whether it lives, not whether its store answers: what restarts the unhealthy would restart all nodes at once.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/local/bin/introspectd", "health"]
ENTRYPOINT ["/usr/local/bin/introspectd"]
CMD ["serve", "-c", "/etc/introspectd/introspectd.toml"]
