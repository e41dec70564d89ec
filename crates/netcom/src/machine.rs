//! How much memory this process may use.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The memory of the machine, or of the control group the process is in if that has less; `None`
/// where the system does not tell.
pub(crate) fn memory() -> Option<u64> {
    memory_at(Path::new("/"))
}

fn memory_at(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| total(&text));
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files);
    let limits =
        limits.filter_map(|file| fs::read_to_string(root.join(file)).ok()?.trim().parse().ok());
    // No limit is "max" in one version and a number beyond all memory in the other.
    machine.into_iter().chain(limits).min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files that limit a group of `/proc/self/cgroup` and those above it. In a container the root
/// may be the group itself.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (_, Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let (folder, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|group| Path::new(folder).join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        2097152 kB\nMemFree:          100000 kB\n";
    const GIB: u64 = 1 << 30;

    /// What a machine with these files has.
    fn of(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_at(root.path())
    }

    #[test]
    fn a_machine_without_groups_has_its_memory() {
        assert_eq!(of(&[("proc/meminfo", MEMINFO)]), Some(2 * GIB));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("proc/meminfo", "MemTotal: much\n"), ("proc/self/cgroup", "::\n")]), None);
    }

    #[test]
    fn the_least_limit_of_the_group_and_those_above_it_counts() {
        let version_2 = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/memory.max", "268435456\n"),
        ];
        assert_eq!(of(&version_2), Some(256 << 20));
        let version_1 = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "5:cpu:/a\n4:cpuset,memory:/a/b\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "134217728\n"),
        ];
        assert_eq!(of(&version_1), Some(128 << 20));
    }

    #[test]
    fn in_a_container_the_root_is_the_group() {
        let container = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/of/the/host\n0::/of/the/host\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
        ];
        assert_eq!(of(&container), Some(64 << 20));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_tells_its_memory() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
