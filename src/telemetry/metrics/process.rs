//! What the operating system says of this process. Linux keeps it in `/proc`; elsewhere these metrics are absent.

use std::fs;

use super::Family;
use super::page::{Kind, Page};

const CPU: Family = family("process_cpu_seconds_total", Kind::Counter, "Time of processors used, user and system.");
const RESIDENT: Family = family("process_resident_memory_bytes", Kind::Gauge, "Memory that is held in RAM.");
const OPEN: Family = family("process_open_fds", Kind::Gauge, "Open file descriptors.");
const LIMIT: Family = family("process_max_fds", Kind::Gauge, "How many file descriptors may be open.");
const START: Family =
    family("process_start_time_seconds", Kind::Gauge, "When the process began, in seconds since 1970.");

/// All of them.
pub(super) const FAMILIES: &[Family] = &[CPU, RESIDENT, OPEN, LIMIT, START];

/// Ticks per second in `/proc`: `USER_HZ`, which the kernel's interface fixes at 100 on every architecture that we
/// build for, whatever its own timer does.
const TICKS_PER_SECOND: f64 = 100.0;

const fn family(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, kind, help, labels: &[] }
}

/// Writes what can be read.
pub(super) fn render(page: &mut Page) {
    let values = [cpu_seconds(), resident_bytes(), open_files(), max_files(), start_seconds()];
    for (family, value) in FAMILIES.iter().zip(values) {
        if let Some(value) = value {
            page.head(family.name, family.kind, family.help);
            page.plain(family.name, value);
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let ticks: f64 = stat_field(14)?.parse::<f64>().ok()? + stat_field(15)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

fn start_seconds() -> Option<f64> {
    let since_boot: f64 = stat_field(22)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + since_boot / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let text = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = text.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files() -> Option<f64> {
    // The folder itself is open while it is read.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

fn max_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

/// A field of `/proc/self/stat`, counted from 1 as in proc(5). The second is the program's name in brackets and may
/// hold spaces and brackets itself, so counting begins after the last bracket.
fn stat_field(number: usize) -> Option<String> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3).map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_all_of_them() {
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(resident_bytes().unwrap() > 1024.0 * 1024.0);
        assert!(open_files().unwrap() >= 3.0);
        assert!(max_files().unwrap() >= open_files().unwrap());
        // After 2020, and not in the future by more than a moment.
        let now = crate::token::time::Clock::System.now().seconds().0;
        let start = start_seconds().unwrap();
        assert!(start > 1_577_836_800.0);
        assert!(start < f64::from(u32::try_from(now).unwrap()) + 2.0);
    }
}
