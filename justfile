# What is done often. `just` lists it.

default:
    @just --list

# The main job
demo:
    cargo run --release -- demo

test:
    cargo test --workspace

# Everything that CI checks
ci:
    bash .ci/run

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Accept changed snapshots after reading them
snapshots:
    INSTA_UPDATE=always cargo test --workspace

# The committed JSON schema of recipes
schema:
    cargo run --release -- schema > crates/engine/schema/recipe.schema.json

deny:
    cargo deny check
