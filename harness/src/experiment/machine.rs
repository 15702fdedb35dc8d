//! Where an experiment ran and what was built in, for whoever repeats it. What cannot be found out is left out.

use std::collections::BTreeMap;
use std::fs;

use crate::report::experiment::Machine;

/// All that the run of an experiment depends on most, of what is built in.
const TOLD: [&str; 9] = [
    "h2",
    "hyper",
    "ldap3",
    "ldap3_proto",
    "rustls",
    "sqlx",
    "tokio",
    "tonic",
    "turmoil",
];

/// This machine.
pub(super) fn machine() -> Machine {
    let system = rustix::system::uname();
    let words = [system.sysname(), system.release()].map(|word| word.to_string_lossy().into_owned());
    let memory = rustix::system::sysinfo();
    Machine {
        system: words.join(" "),
        architecture: system.machine().to_string_lossy().into_owned(),
        processor: fs::read_to_string("/proc/cpuinfo")
            .map_or_else(|_| String::new(), |text| processor(&text)),
        cores: std::thread::available_parallelism().map_or(1, usize::from) as u64,
        memory_bytes: u64::from(memory.mem_unit).saturating_mul(memory.totalram),
    }
}

/// The first model that the kernel names; elsewhere than on x86 it may name none.
fn processor(cpuinfo: &str) -> String {
    let named = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let mut models = named.filter(|(name, _)| name.trim() == "model name");
    models
        .next()
        .map_or_else(String::new, |(_, model)| model.trim().to_owned())
}

/// Versions of the libraries that were built in, from the lock file of the build.
pub(super) fn versions() -> BTreeMap<String, String> {
    let lock: toml::Table = toml::from_str(include_str!("../../../Cargo.lock")).unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let named = packages.into_iter().flatten().filter_map(|package| {
        let text = |field: &str| {
            package
                .get(field)
                .and_then(toml::Value::as_str)
                .map(str::to_owned)
        };
        Some((text("name")?, text("version")?))
    });
    named.filter(|(name, _)| TOLD.contains(&name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_that_matter_have_their_versions() {
        let versions = versions();
        let names: Vec<_> = versions.keys().map(String::as_str).collect();
        assert_eq!(names, TOLD);
        assert!(
            versions.values().all(|version| version.split('.').count() == 3),
            "{versions:?}"
        );
    }

    #[test]
    fn a_processor_is_called_by_its_model() {
        assert_eq!(
            processor("processor\t: 0\nmodel name\t: A CPU @ 2.5GHz\nmodel name : B\n"),
            "A CPU @ 2.5GHz"
        );
        assert_eq!(processor("Hardware : x\n"), "");
        assert!(machine().memory_bytes > 0);
    }
}
