//! Which nodes an entity let speak for it, so that it can take that back.

use std::path::{Path, PathBuf};

use netcom_discovery::private_file::{self, Lock, PrivateFileError};
use netcom_identity::{PeerId, UnixTime, parse_peer_id};

use super::KeyFileError;

/// A node that may speak for an entity.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Device {
    /// Which node.
    pub peer_id: PeerId,
    /// What people call it, as it said itself.
    pub label: String,
    /// Until when it may.
    pub expires: UnixTime,
    /// How many further nodes in a row it may let in.
    pub delegations: u8,
}

/// The register in a data directory: devices, and below which sequence proofs are taken back.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Register {
    /// Proofs with a lower number are taken back.
    pub(super) lowest_sequence: u64,
    /// The highest number that a proof got, whatever the clock says since.
    highest_sequence: u64,
    pub(super) devices: Vec<Device>,
}

/// The right to change the register, until it is dropped.
pub(super) struct Guard {
    _lock: Lock,
    path: PathBuf,
}

impl Register {
    /// Reads the register of a data directory; a missing one is empty.
    pub(super) fn read(directory: &Path) -> Result<Self, KeyFileError> {
        let path = directory.join(NAME);
        let bytes = match private_file::read(&path, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(PrivateFileError::Missing { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let read = str::from_utf8(&bytes).ok().and_then(Self::from_text);
        let what = "it lists no devices".to_owned();
        read.ok_or(KeyFileError::Corrupted { path, what })
    }

    /// The number of the next proof.
    pub(super) fn next_sequence(&mut self, now: u64) -> u64 {
        let least = self.lowest_sequence.max(self.highest_sequence.saturating_add(1));
        self.highest_sequence = now.max(least);
        self.highest_sequence
    }

    /// Counts on above a number that was given elsewhere, unless it is one that no clock gives: it
    /// would leave none for later.
    pub(super) fn raise(&mut self, given: u64) {
        if given < END / 2 {
            self.highest_sequence = self.highest_sequence.max(given);
        }
    }

    /// Takes all proofs back that were given so far.
    pub(super) fn take_back(&mut self, now: u64) {
        self.lowest_sequence = self.next_sequence(now);
    }

    /// Notes a device. What it was given before may still be used, so the longer time and the
    /// higher number count.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn note(&mut self, mut device: Device) -> Result<(), KeyFileError> {
        if let Some(before) = self.devices.iter().find(|known| known.peer_id == device.peer_id) {
            device.expires = device.expires.max(before.expires);
            device.delegations = device.delegations.max(before.delegations);
        }
        self.devices.retain(|known| known.peer_id != device.peer_id);
        if self.devices.len() >= MAX_DEVICES {
            return Err(KeyFileError::TooManyDevices);
        }
        self.devices.push(device);
        Ok(())
    }

    pub(super) fn to_text(&self) -> String {
        let Self { lowest_sequence, highest_sequence, .. } = self;
        let mut text = format!("{HEADER}\nnumbers {lowest_sequence} {highest_sequence}\n");
        for Device { peer_id, label, expires, delegations } in &self.devices {
            text += &format!("{peer_id} {} {delegations} {label}\n", expires.0);
        }
        text + "end\n"
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_prefix(HEADER)?.strip_prefix('\n')?.strip_suffix("end\n")?;
        let mut lines = text.split_terminator('\n');
        let (lowest, highest) = lines.next()?.strip_prefix("numbers ")?.split_once(' ')?;
        let (lowest_sequence, highest_sequence): (u64, u64) =
            (lowest.parse().ok()?, highest.parse().ok()?);
        let device = |line: &str| {
            let mut words = line.splitn(4, ' ');
            Some(Device {
                peer_id: parse_peer_id(words.next()?).ok()?,
                expires: UnixTime(words.next()?.parse().ok()?),
                delegations: words.next()?.parse().ok()?,
                label: words.next()?.to_owned(),
            })
        };
        let devices = lines.map(device).collect::<Option<Vec<_>>>()?;
        // Of a number that is the last one there is no next.
        let is_short = devices.len() <= MAX_DEVICES && highest_sequence.max(lowest_sequence) < END;
        is_short.then_some(Self { lowest_sequence, highest_sequence, devices })
    }
}

impl Guard {
    /// Waits for other processes that change the register.
    pub(super) fn take(directory: &Path) -> Result<Self, KeyFileError> {
        let lock = Lock::take(&directory.join("devices.lock"))?;
        Ok(Self { _lock: lock, path: directory.join(NAME) })
    }

    /// Writes the register; a crash leaves the old one or the new one.
    pub(super) fn write(&self, register: &Register) -> Result<(), KeyFileError> {
        Ok(private_file::replace(&self.path, register.to_text().as_bytes())?)
    }
}

const NAME: &str = "devices";
const HEADER: &str = "netcom-devices 1";
/// An entity lets at most so many nodes speak for it by statements of their own.
const MAX_DEVICES: usize = 1024;
const MAX_FILE: u64 = 512 << 10;
/// Far beyond any clock: whoever lets others in counts from there as long as they live.
const END: u64 = u64::MAX - (1 << 32);

#[cfg(test)]
mod tests {
    use netcom_identity::SecretKey;

    use super::*;

    fn device(seed: u8, label: &str) -> Device {
        let peer_id = SecretKey::from_bytes(&[seed; 32]).peer_id();
        Device { peer_id, label: label.to_owned(), expires: UnixTime(9), delegations: 1 }
    }

    #[test]
    fn what_is_noted_is_read_again_and_a_device_is_noted_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Register::read(folder.path()).unwrap(), Register::default());
        let mut register = Register::default();
        register.take_back(7);
        for device in [device(1, ""), device(2, "rack 3, left"), device(1, "telephone")] {
            register.note(device).unwrap();
        }
        Guard::take(folder.path()).unwrap().write(&register).unwrap();
        let read = Register::read(folder.path()).unwrap();
        assert_eq!(read, register);
        let labels: Vec<_> = read.devices.iter().map(|device| &device.label[..]).collect();
        assert_eq!(labels, ["rack 3, left", "telephone"]);
    }

    #[test]
    fn numbers_rise_whatever_the_clock_does_and_what_was_given_before_is_not_forgotten() {
        let mut register = Register::default();
        let given = register.next_sequence(1000);
        register.take_back(500);
        assert!(register.lowest_sequence > given);
        assert!(register.next_sequence(400) > register.lowest_sequence);
        register.note(device(1, "laptop")).unwrap();
        let shorter = Device { expires: UnixTime(5), delegations: 0, ..device(1, "laptop") };
        register.note(shorter).unwrap();
        assert_eq!(register.devices, [device(1, "laptop")]);
    }

    #[test]
    fn it_counts_on_above_what_was_given_elsewhere_and_by_no_clock_runs_out_of_numbers() {
        let mut register = Register::default();
        register.raise(1000);
        assert_eq!(register.next_sequence(7), 1001);
        register.raise(u64::MAX);
        assert_eq!(register.next_sequence(7), 1002);
    }

    #[test]
    fn a_register_that_was_cut_is_told_and_its_length_is_bounded() {
        let mut register = Register::default();
        register.note(device(1, "laptop")).unwrap();
        let text = register.to_text();
        let odd = text.replace("laptop", "laptop\r");
        assert_eq!(Register::from_text(&odd).unwrap().to_text(), odd, "no byte is lost");
        for end in 0..text.len() {
            assert_eq!(Register::from_text(&text[..end]), None, "cut at {end}");
        }
        register.devices = vec![device(2, ""); MAX_DEVICES];
        assert_eq!(register.note(device(1, "")).unwrap_err().code(), "too_many_devices");
    }
}
