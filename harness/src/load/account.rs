//! What processes cost, from the operating system's own accounts.

use std::fs;
use std::io;
use std::time::Duration;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads. The system counts in hundredths of a second.
    pub cpu: Duration,
    /// Most memory that it ever had resident, in bytes.
    pub peak_bytes: u64,
    /// Memory that it has resident now, in bytes.
    pub resident_bytes: u64,
}

/// Reads the account of process `pid`.
///
/// # Errors
/// As the operating system reports; `InvalidData` if the account has another form than Linux gives it.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let ticks = rustix::param::clock_ticks_per_second();
    read(&stat, &status, ticks).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

fn read(stat: &str, status: &str, ticks: u64) -> Option<Usage> {
    // The second field is the name, in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut time = || fields.next()?.parse::<u64>().ok();
    let used = time()?.checked_add(time()?)?;
    let bytes = |name| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Usage {
        cpu: Duration::from_secs(1).mul_f64(used as f64 / ticks as f64),
        peak_bytes: bytes("VmHWM:")?,
        resident_bytes: bytes("VmRSS:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_whatever_the_process_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 3 4 20 0 3 0 100 1000 10 1";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        let expected = Usage {
            cpu: Duration::from_secs(2),
            peak_bytes: 2048 * 1024,
            resident_bytes: 1024 * 1024,
        };
        assert_eq!(read(stat, status, 100), Some(expected));
        assert_eq!(read("7 (x) S", status, 100), None);
        assert_eq!(read(stat, "", 100), None);
    }

    #[test]
    fn this_process_has_an_account() {
        assert!(usage(std::process::id()).unwrap().peak_bytes > 1024 * 1024);
        assert!(usage(u32::MAX).is_err());
    }
}
