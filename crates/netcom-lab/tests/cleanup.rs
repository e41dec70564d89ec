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

use netcom_lab::{LinkSpec, Namespace, Nat, Router, RouterSpec, with_pair, with_topology};

#[test]
fn namespaces_are_gone_after_the_test_even_if_it_panicked() {
    let spec = LinkSpec::new(Duration::ZERO);
    check(|inodes| {
        with_pair(spec, |pair| {
            let ends: [&Namespace; 2] = [pair.left(), pair.right()];
            fail(&ends, inodes);
        });
    });
    let routers = [Nat::EndpointIndependent, Nat::EndpointDependent].map(RouterSpec::new);
    check(|inodes| {
        with_topology(&routers, spec, |topology| {
            let routers = topology.routers().iter().map(Router::namespace);
            let all = [topology.host(), topology.internet()].into_iter().chain(routers);
            fail(&all.collect::<Vec<_>>(), inodes);
        });
    });
}

/// Runs a test that notes its namespaces and fails, and looks for what is left of them.
fn check(test: impl FnOnce(&mut Vec<u64>)) {
    let mut inodes = Vec::new();
    let panic = catch_unwind(AssertUnwindSafe(|| test(&mut inodes)));
    assert_eq!(panic.is_err(), !inodes.is_empty());
    for inode in inodes {
        assert_eq!(uses(inode), 0);
    }
}

/// Notes namespaces, keeps one of them busy, and panics.
fn fail(namespaces: &[&Namespace], inodes: &mut Vec<u64>) {
    for namespace in namespaces {
        inodes.push(namespace.call(|| fs::metadata("/proc/thread-self/ns/net").unwrap().ino()));
    }
    let _busy = namespaces[0].start(std::future::pending::<()>);
    assert!(uses(inodes[0]) > 0, "{inodes:?}");
    panic!("a test that fails");
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
