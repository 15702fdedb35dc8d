//! Criterion benches over the public interfaces of the other crates.
