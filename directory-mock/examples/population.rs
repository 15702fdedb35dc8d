//! What a population costs: time to open it, and memory for each user.
//!
//! `cargo run --release -p postern-directory-mock --example population -- 1000000`

use std::error::Error;
use std::time::Instant;

use postern_directory_mock::{Directory, DirectoryHandle, Flavour, Population};
use postern_kit::clock::monotonic;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let (start, empty) = (monotonic(), resident()?);
    let population = Population::seeded(1, count);
    let last = population
        .people()
        .last()
        .cloned()
        .ok_or("expected at least one user")?;
    let directory = Directory::builder("corp.example.test", "CORP")
        .population(&population)
        .build();
    drop(population);
    tell("described", start, empty, count)?;
    let directory = {
        let described = directory;
        DirectoryHandle::open(&described, &postern_kit::Seams::real())?
    };
    tell("opened", start, empty, count)?;
    println!("at most {} MiB", status("VmHWM:")? / 1024);
    let upn = last.upn("corp.example.test");
    let judged = directory.sign_in(Flavour::Samba, "dc1", &upn, last.password.plaintext());
    println!("the last one signs in: {:?}", judged.outcome);
    Ok(())
}

fn tell(what: &str, start: Instant, empty: u64, count: usize) -> Result<(), Box<dyn Error>> {
    let used = resident()?.saturating_sub(empty);
    let each = used * 1024 / u64::try_from(count.max(1))?;
    let took = start.elapsed();
    println!(
        "{what}: {count} users after {took:.1?}, {} MiB, {each} bytes each",
        used / 1024
    );
    Ok(())
}

fn resident() -> Result<u64, Box<dyn Error>> {
    status("VmRSS:")
}

/// A line of the process's status, in KiB.
fn status(name: &str) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .ok_or("expected Linux's /proc")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?)
}
