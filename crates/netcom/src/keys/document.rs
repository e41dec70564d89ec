//! What the identity says of itself: the document that is published, and those of keys before.

use std::path::{Path, PathBuf};

use netcom_discovery::{
    names::Answer,
    private_file::{self, PrivateFileError},
};
use netcom_identity::{
    EntityDescription, EntityDocument, MAX_ENTITY_BYTES, Metadata, NetId, SecretKey,
};

use super::{
    Armor as _, IdentityStore, KeyFileError, Passphrase,
    devices::{Guard, Register},
    enroll::{EnrollError, Renewed},
    file::{self, Purpose},
    store::{fresh, present},
};
use crate::clock::{unix_millis, unix_now};

/// A new key took the place of the identity's.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The key before.
    pub before: NetId,
    /// The key now.
    pub netid: NetId,
    /// The nodes that were let in need these proofs.
    pub renewed: Vec<Renewed>,
}

impl IdentityStore {
    /// Signs what the identity says of itself, with what is known here of proofs that were taken
    /// back and of keys before. Its sequence is the time, or higher if need be.
    ///
    /// # Errors
    /// The key is not here or locked, or the description passes its bounds, also with the documents
    /// of keys before.
    pub fn publish(
        &self,
        mut description: EntityDescription,
        passphrase: Option<&Passphrase>,
    ) -> Result<Answer, EnrollError> {
        // First the lock: another process may be replacing the key.
        let _guard = Guard::take(self.directory().path())?;
        let key = self.load(passphrase)?;
        let register = Register::read(self.directory().path())?;
        description.lowest_sequence = description.lowest_sequence.max(register.lowest_sequence);
        description.sequence = self.next_sequence(description.sequence)?;
        let document = EntityDocument::sign(&key, description)?;
        let answer = Answer { earlier: self.earlier(&key.net_id())?, document };
        if !answer.is_short() {
            return Err(EnrollError::TooLong { earlier: answer.earlier.len() });
        }
        private_file::replace(&self.document_path(), answer.document.to_text().as_bytes())
            .map_err(KeyFileError::from)?;
        Ok(answer)
    }

    /// Gives the identity a new key, kept under the same passphrase. A document of the old key
    /// names it as the successor, and further documents carry that. The old key stays in a file of
    /// its own; whoever has it cannot take the name back.
    ///
    /// A rotation that was cut short goes on where it was.
    ///
    /// # Errors
    /// The key is not here or locked, or the directory cannot be written.
    pub fn rotate(&self, passphrase: Option<&Passphrase>) -> Result<Rotated, EnrollError> {
        let guard = Guard::take(self.directory().path())?;
        let old = self.load(passphrase)?;
        let is_sealed = self.show()?.is_encrypted;
        let next = self.directory().path().join("identity.next.key");
        let key = match present(self.read(Purpose::Identity, &next))? {
            Some(begun) => begun.open(passphrase, Purpose::Identity, &next)?,
            None => fresh()?,
        };
        // All but the last steps of an earlier rotation were done.
        let key = if key.net_id() == old.net_id() { fresh()? } else { key };
        let text = match passphrase.filter(|_| is_sealed) {
            None => file::plain(&key, Purpose::Identity),
            Some(passphrase) => file::sealed(&key, Purpose::Identity, passphrase)?.into(),
        };
        let failed = |error: PrivateFileError| EnrollError::from(KeyFileError::from(error));
        private_file::replace(&next, text.as_bytes()).map_err(failed)?;
        self.name_successor(&old, key.net_id())?;
        self.set_aside(&old.net_id())?;
        let mut register = Register::read(self.directory().path())?;
        let renewed = self.renew(&key, &mut register)?;
        let own = register.next_sequence(unix_millis());
        guard.write(&register)?;
        private_file::replace(&self.identity_path(), text.as_bytes()).map_err(failed)?;
        private_file::remove(&next).map_err(failed)?;
        self.renew_proof(&key, &self.node_key_or_new()?, own)?;
        Ok(Rotated { before: old.net_id(), netid: key.net_id(), renewed })
    }

    /// Adds a last document of the old key to those that are published with every further one. Of
    /// what the key said before, it keeps the primary name alone: so as many as an answer may carry
    /// leave room for the longest document, however often the key is replaced.
    fn name_successor(&self, old: &SecretKey, successor: NetId) -> Result<(), EnrollError> {
        let now = unix_now();
        let last = self.document(&self.document_path())?;
        let mut description = last
            .filter(|last| *last.netid() == old.net_id())
            .map_or_else(|| EntityDescription::new(now.0, now), |last| last.description().clone());
        description.names.truncate(1);
        description.hints.clear();
        description.metadata = Metadata::new();
        description.sequence = self.next_sequence(now.0)?;
        description.expires = now.plus_seconds(SUCCESSION_SECONDS);
        description.successor = Some(successor);
        let document = EntityDocument::sign(old, description)?;
        let mut texts = self.earlier(&old.net_id())?;
        texts.push(document);
        let first = texts.len().saturating_sub(MAX_EARLIER);
        let text: String = texts.iter().skip(first).map(EntityDocument::to_text).collect();
        private_file::replace(&self.earlier_path(), text.as_bytes()).map_err(KeyFileError::from)?;
        Ok(())
    }

    /// Documents that lead from keys before to `netid`, the oldest first. Those of a rotation that
    /// was cut short lead elsewhere, and are left out.
    fn earlier(&self, netid: &NetId) -> Result<Vec<EntityDocument>, KeyFileError> {
        let path = self.earlier_path();
        let read = private_file::read(&path, MAX_EARLIER as u64 * MAX_DOCUMENT);
        let Some(text) = present(read.map_err(KeyFileError::from))? else { return Ok(Vec::new()) };
        let damaged = || self.corrupted(path.clone(), "it holds no documents");
        let text = str::from_utf8(&text).map_err(|_| damaged())?;
        let documents = text.split_inclusive("end\n").map(EntityDocument::from_text);
        let documents: Vec<_> = documents.collect::<Result<_, _>>().map_err(|_| damaged())?;
        let mut chain = Vec::new();
        let mut wanted = *netid;
        for document in documents.into_iter().rev() {
            if document.description().successor == Some(wanted) {
                wanted = *document.netid();
                chain.push(document);
            }
        }
        chain.reverse();
        Ok(chain)
    }

    /// Keeps the old key beside the new one.
    fn set_aside(&self, netid: &NetId) -> Result<(), KeyFileError> {
        let aside = self.directory().path().join(format!("identity.{netid}.key"));
        let content = private_file::read(&self.identity_path(), MAX_DOCUMENT)?;
        Ok(private_file::replace(&aside, &content)?)
    }

    fn next_sequence(&self, wanted: u64) -> Result<u64, KeyFileError> {
        let last = self.document(&self.document_path())?;
        Ok(last.map_or(wanted, |last| wanted.max(last.description().sequence.saturating_add(1))))
    }

    fn document(&self, path: &Path) -> Result<Option<EntityDocument>, KeyFileError> {
        let read = private_file::read(path, MAX_DOCUMENT).map_err(KeyFileError::from);
        let Some(text) = present(read)? else { return Ok(None) };
        let document =
            str::from_utf8(&text).ok().and_then(|text| EntityDocument::from_text(text).ok());
        let damaged = || self.corrupted(path.to_owned(), "it holds no document");
        document.map(Some).ok_or_else(damaged)
    }

    fn document_path(&self) -> PathBuf {
        self.directory().path().join("document")
    }

    fn earlier_path(&self) -> PathBuf {
        self.directory().path().join("document.earlier")
    }
}

/// The text of a document is at most this long.
const MAX_DOCUMENT: u64 = 2 * MAX_ENTITY_BYTES as u64 + 64;
/// An answer about a name carries at most this many.
const MAX_EARLIER: usize = 8;
/// How long the last document of a key holds; as proof of its successor it counts for ever.
const SUCCESSION_SECONDS: u64 = 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use std::fs;

    use netcom_identity::UnixTime;

    use super::*;
    use crate::data_dir::DataDir;

    fn store(folder: &Path) -> IdentityStore {
        IdentityStore::new(DataDir::open(folder.join("data")).unwrap())
    }

    fn named(name: &str) -> EntityDescription {
        let mut description = EntityDescription::new(1, unix_now().plus_seconds(3600));
        description.names.push(name.to_owned());
        description
    }

    #[test]
    fn each_document_replaces_the_one_before_and_carries_what_was_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.create(None).unwrap();
        let first = store.publish(named("example.org"), None).unwrap().document;
        let device = crate::generate_key();
        let request = netcom_identity::Enrollment::sign(&device, None, UnixTime(1), "").unwrap();
        store.admit(&request, 3600, 1, None).unwrap();
        let revoked = store.revoke(device.peer_id(), None).unwrap();

        let second = store.publish(named("example.org"), None).unwrap().document;
        assert!(second.is_newer_than(&first));
        assert_eq!(second.description().lowest_sequence, revoked.lowest_sequence);
    }

    /// A description of which no longer document can be signed, but for some bytes.
    fn longest() -> EntityDescription {
        let [label, end] = [63, 61].map(|length| "x".repeat(length));
        let (key, expires) = (crate::generate_key(), unix_now().plus_seconds(3600));
        let mut longest = EntityDescription::new(u64::MAX, expires);
        longest.lowest_sequence = u64::MAX;
        let name = |index: u32| format!("{index:n>63}.{label}.{label}.{end}");
        longest.names = (0..16).map(name).collect();
        for index in 0..16 {
            let mut longer = longest.clone();
            let (host, peer) = ("x".repeat(190), key.peer_id());
            longer.hints.push(format!("/dns4/{index}{host}/tcp/1/p2p/{peer}").parse().unwrap());
            if EntityDocument::sign(&key, longer.clone()).is_ok() {
                longest = longer;
            }
        }
        let length = EntityDocument::sign(&key, longest.clone()).unwrap().encode().len();
        assert!(length > MAX_ENTITY_BYTES - 300, "{length}");
        (longest.sequence, longest.lowest_sequence) = (1, 0);
        longest
    }

    #[test]
    fn however_often_a_key_is_replaced_the_longest_document_can_be_published() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.create(None).unwrap();
        for rotations in 0..MAX_EARLIER + 2 {
            let answer = store.publish(longest(), None).unwrap();
            assert_eq!(answer.earlier.len(), rotations.min(MAX_EARLIER));
            let now = unix_now();
            assert!(Answer::from_json(answer.to_json().as_bytes(), now).is_ok());
            assert!(Answer::from_txt(&answer.to_txt().concat(), now).is_ok());
            store.rotate(None).unwrap();
        }
    }

    #[test]
    fn what_nobody_would_read_is_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let netid = store.create(None).unwrap();
        // The last document of a key before, with all that it said.
        let mut last = longest();
        last.hints.pop();
        last.successor = Some(netid);
        let last = EntityDocument::sign(&crate::generate_key(), last).unwrap();
        private_file::replace(&store.earlier_path(), last.to_text().as_bytes()).unwrap();
        let refused = store.publish(longest(), None).unwrap_err();
        assert_eq!(refused.code(), "answer_too_long");
        assert!(refused.to_string().contains("with 1 documents of keys before"), "{refused}");
        store.publish(named("example.org"), None).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn a_new_key_is_led_to_by_documents_of_the_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let first = store.create(None).unwrap();
        store.publish(named("example.org"), None).unwrap();
        let second = store.rotate(None).unwrap();
        let third = store.rotate(None).unwrap();
        assert_eq!((second.before, third.before), (first, second.netid));
        assert_eq!(store.load(None).unwrap().net_id(), third.netid);
        assert_eq!(store.proof().unwrap().unwrap().netid(), third.netid);

        let answer = store.publish(named("example.org"), None).unwrap();
        assert_eq!(*answer.document.netid(), third.netid);
        let steps: Vec<_> = answer
            .earlier
            .iter()
            .map(|document| (*document.netid(), document.description().successor))
            .collect();
        assert_eq!(steps, [(first, Some(second.netid)), (second.netid, Some(third.netid))]);
        assert!(answer.earlier[0].has_name("example.org"), "the name goes with it");
        let aside = store.directory().path().join(format!("identity.{first}.key"));
        assert!(aside.exists(), "the old key is kept");
    }

    #[test]
    fn a_rotation_that_was_cut_short_goes_on_or_is_as_if_it_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let first = store.create(None).unwrap();
        store.publish(named("example.org"), None).unwrap();
        let whole = fs::read(store.identity_path()).unwrap();
        let rotated = store.rotate(None).unwrap();
        let begun = fs::read(store.identity_path()).unwrap();

        // The new key was made and named, and did not take the old one's place.
        private_file::replace(&store.identity_path(), &whole).unwrap();
        let next = store.directory().path().join("identity.next.key");
        private_file::replace(&next, &begun).unwrap();
        let answer = store.publish(named("example.org"), None).unwrap();
        assert_eq!((*answer.document.netid(), answer.earlier.len()), (first, 0));
        let again = store.rotate(None).unwrap();
        assert_eq!(again.netid, rotated.netid, "no second key is named");

        // It did, and the rest was not done.
        private_file::replace(&next, &begun).unwrap();
        let further = store.rotate(None).unwrap();
        assert_eq!(further.before, rotated.netid);
        assert_ne!(further.netid, rotated.netid);
    }
}
