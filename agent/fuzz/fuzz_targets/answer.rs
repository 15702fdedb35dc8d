//! Whatever text and policy response a directory sends, the verdict is one that it gave reason for.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../verdict.rs"]
mod verdict;

fuzz_target!(|bytes: &[u8]| verdict::check(bytes));
