//! What a benchmark can tell of the machine it runs on. Linux; elsewhere it says nothing.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Processor time of every thread of this process but the one that measures, by id: name and
/// seconds. Linux only.
pub(crate) fn threads() -> BTreeMap<String, (String, f64)> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return BTreeMap::new() };
    let main = std::process::id().to_string();
    let read = |task: io::Result<std::fs::DirEntry>| {
        let task = task.ok().filter(|task| *task.file_name() != *main)?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let seconds = cpu_of(task.path().to_str()?)?;
        Some((task.file_name().to_str()?.to_owned(), (name.trim_end().to_owned(), seconds)))
    };
    tasks.filter_map(read).collect()
}

pub(crate) fn by_name(
    before: &BTreeMap<String, (String, f64)>,
    after: &BTreeMap<String, (String, f64)>,
) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (id, (name, seconds)) in after {
        let then = before.get(id).map_or(0.0, |(_, seconds)| *seconds);
        *sums.entry(name.clone()).or_insert(0.0) += seconds - then;
    }
    sums
}

/// Processor time of a thread so far, seconds.
pub(crate) fn cpu_of(task: &str) -> Option<f64> {
    let times = std::fs::read_to_string(format!("{task}/schedstat")).ok()?;
    let nanos: u64 = times.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos).as_secs_f64())
}

pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or_else(
        || String::from("unknown"),
        |line| line.trim_start_matches([' ', '\t', ':']).to_owned(),
    )
}

pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
