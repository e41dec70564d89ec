//! Files of packets, as Wireshark and tcpdump read them.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The recording of a link, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// Spares the lock where there is none.
    is_on: AtomicBool,
    recorder: Mutex<Option<Recorder<BufWriter<File>>>>,
}

/// Writes packets in the format of pcap (draft-ietf-opsawg-pcap), with nanoseconds.
#[derive(Debug)]
struct Recorder<W> {
    out: W,
    /// What went wrong first; nothing is written after it.
    failure: Option<io::Error>,
}

impl Recording {
    /// Begins a file, and ends the one before it.
    pub(crate) fn start(&self, path: &Path) -> io::Result<()> {
        let recorder = Recorder::new(BufWriter::new(File::create(path)?))?;
        let earlier = self.recorder().replace(recorder);
        self.is_on.store(true, Ordering::SeqCst);
        earlier.map_or(Ok(()), Recorder::end)
    }

    /// Ends the file, and tells what could not be written to it.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.is_on.store(false, Ordering::SeqCst);
        let recorder = self.recorder().take();
        recorder.map_or(Ok(()), Recorder::end)
    }

    /// Writes a packet that is sent now.
    pub(crate) fn add(&self, packet: &[u8]) {
        self.with(|recorder| recorder.add(packet, SystemTime::now()));
    }

    /// Makes the file whole up to now.
    pub(crate) fn flush(&self) {
        self.with(Recorder::flush);
    }

    fn with(&self, work: impl FnOnce(&mut Recorder<BufWriter<File>>)) {
        if self.is_on.load(Ordering::SeqCst)
            && let Some(recorder) = &mut *self.recorder()
        {
            work(recorder);
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Option<Recorder<BufWriter<File>>>> {
        // Whoever panicked left a file that lacks packets at worst.
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> Recorder<W> {
    fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC.to_le_bytes())?;
        for part in VERSION {
            out.write_all(&part.to_le_bytes())?;
        }
        for word in [0, 0, LONGEST, LINKTYPE_RAW] {
            out.write_all(&u32::to_le_bytes(word))?;
        }
        Ok(Self { out, failure: None })
    }

    fn add(&mut self, packet: &[u8], sent: SystemTime) {
        if self.failure.is_none() {
            self.failure = self.write(packet, sent).err();
        }
    }

    fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.out.flush().err();
        }
    }

    fn end(mut self) -> io::Result<()> {
        self.flush();
        self.failure.map_or(Ok(()), Err)
    }

    fn write(&mut self, packet: &[u8], sent: SystemTime) -> io::Result<()> {
        let sent = sent.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = packet.len() as u32;
        // The format's seconds last until 2106.
        for word in [sent.as_secs() as u32, sent.subsec_nanos(), length, length] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(packet)
    }
}

/// Times are in nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
const LONGEST: u32 = 0x4_0000;
/// Packets begin with their IP header, whose version says which (draft-ietf-opsawg-pcaplinktype).
const LINKTYPE_RAW: u32 = 101;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_is_its_header_and_each_packet_behind_its_own() {
        let mut recorder = Recorder::new(Vec::new()).unwrap();
        recorder.add(&[0x45, 1, 2], UNIX_EPOCH + Duration::new(7, 9));
        let expected = [
            &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0][..],
            &[0; 8],
            &[0, 0, 4, 0, 101, 0, 0, 0],
            &[7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0],
            &[0x45, 1, 2],
        ];
        assert_eq!(recorder.out, expected.concat());
        recorder.end().unwrap();
    }

    #[test]
    fn a_file_that_takes_no_more_says_so_in_the_end() {
        let mut room = [0; 24 + 10];
        let mut recorder = Recorder::new(&mut room[..]).unwrap();
        recorder.add(&[0x45], UNIX_EPOCH);
        recorder.add(&[0x45], UNIX_EPOCH);
        let failure = recorder.end().map_err(|error| error.kind());
        assert_eq!(failure, Err(io::ErrorKind::WriteZero));
    }
}
