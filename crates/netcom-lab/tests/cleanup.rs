//! What is left of a laboratory: nothing. Alone in its process, because numbers of namespaces are
//! used again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use netcom_lab::{LinkSpec, with_pair};

#[test]
fn namespaces_are_gone_after_the_test_even_if_it_panicked() {
    let mut inodes = Vec::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        with_pair(LinkSpec::new(Duration::ZERO), |pair| {
            for end in [pair.left(), pair.right()] {
                inodes.push(end.call(|| fs::metadata("/proc/thread-self/ns/net").unwrap().ino()));
            }
            let _busy = pair.left().start(std::future::pending::<()>);
            assert!(uses(inodes[0]) > 0, "{inodes:?}");
            panic!("a test that fails");
        });
    }));
    assert_eq!(panic.is_err(), !inodes.is_empty());
    for inode in inodes {
        assert_eq!(uses(inode), 0);
    }
}

/// How many threads and file handles of this process keep a namespace alive.
fn uses(inode: u64) -> usize {
    let is_it = |path: std::path::PathBuf| {
        let link = fs::read_link(path).unwrap_or_default();
        link.to_string_lossy() == format!("net:[{inode}]")
    };
    let entries = |folder: &str| {
        let entries = fs::read_dir(folder).unwrap();
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let threads = entries("/proc/self/task").into_iter().map(|task| task.join("ns/net"));
    threads.chain(entries("/proc/self/fd")).filter(|path| is_it(path.clone())).count()
}
