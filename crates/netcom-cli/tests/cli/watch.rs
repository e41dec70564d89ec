//! Waits for what other processes do to files.

use std::{
    fs, io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

/// Looks again after each change below `root` until there is something to be seen; `None` where
/// there is nothing in time.
pub(crate) fn until<T>(
    root: &Path,
    within: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let changes = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let deadline = Instant::now() + within;
    loop {
        // Before the look, so that nothing falls between.
        watch(&changes, root);
        if let Some(found) = look() {
            return Some(found);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        let left = Timespec::try_from(left).unwrap();
        poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&left)).unwrap();
        drain(&changes);
    }
}

/// Watches a folder and all below. What vanishes meanwhile needs no watch.
fn watch(changes: &OwnedFd, folder: &Path) {
    let flags =
        WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY | WatchFlags::ONLYDIR;
    if inotify::add_watch(changes, folder, flags).is_err() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            watch(changes, &entry.path());
        }
    }
}

fn drain(changes: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(changes, &mut buffer);
    loop {
        match reader.next().map_err(io::Error::from) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}
