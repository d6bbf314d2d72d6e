# The command in an image of its own: docker build --tag edgepass .
# Nothing of it is needed where `cargo xtask package` has written dist/release/oci (docs/install.md).
FROM rust:1.95-bookworm AS build
WORKDIR /edgepass
COPY . .
RUN cargo install --locked --path host/cli --root /out

# glibc and libgcc_s, certification authorities, a user that is not root
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/bin/edgepass /usr/bin/edgepass
ENTRYPOINT ["/usr/bin/edgepass"]
