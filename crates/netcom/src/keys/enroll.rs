//! Nodes that speak for an entity whose key is elsewhere: asking, answering, taking back.

use std::path::PathBuf;

use netcom_discovery::{names::MAX_ANSWER_BYTES, private_file};
use netcom_identity::{
    DelegateError, Enrollment, EnrollmentError, EntityDocumentError, NetId, PeerId, Representation,
    RepresentationError, SecretKey, Terms,
};

use super::{
    Armor as _, Device, IdentityStore, KeyFileError, Passphrase,
    devices::{Guard, Register},
    store::terms,
};
use crate::clock::{unix_millis, unix_now};

/// Why somebody cannot be let in, or taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// A key or another file of the data directory cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The request cannot be made.
    #[error(transparent)]
    Request(#[from] EnrollmentError),
    /// The node asks another entity.
    #[error("the node asks {asked}, and this is {netid}: sign it where {asked} is kept")]
    OtherEntity {
        /// Whom it asks.
        asked: NetId,
        /// Whose key is here.
        netid: NetId,
    },
    /// The proof does not hold for this node.
    #[error("the proof does not let this node speak for {netid}")]
    Proof {
        /// For whom it is.
        netid: NetId,
        /// What is wrong with it.
        source: Box<RepresentationError>,
    },
    /// The data directory is somebody else already.
    #[error("this data directory speaks for {present} already, and the proof is for {netid}")]
    Taken {
        /// For whom it speaks.
        present: NetId,
        /// For whom the proof is.
        netid: NetId,
    },
    /// The proof is older than the one that is here, and may have been taken back.
    #[error("a newer proof for {netid} is in this data directory already")]
    Older {
        /// For whom both are.
        netid: NetId,
    },
    /// No key and no proof here lets others in.
    #[error("nothing in this data directory lets others in: neither the key nor a proof that may")]
    NotAllowed,
    /// What is here does not allow it.
    #[error("the proof in this data directory does not let this node in")]
    Delegate(#[from] DelegateError),
    /// No such node was let in from this data directory.
    #[error("{peer} was not let in from this data directory")]
    UnknownDevice {
        /// Who was named.
        peer: PeerId,
    },
    /// The document is too long together with those of keys before, which lead to this one. Leave
    /// out names, hints or metadata.
    #[error(
        "with {earlier} documents of keys before, the document is longer than the \
         {MAX_ANSWER_BYTES} bytes that are read: leave out names or hints"
    )]
    TooLong {
        /// How many documents of keys before there are.
        earlier: usize,
    },
    /// The document that says so cannot be signed.
    #[error(transparent)]
    Document(#[from] EntityDocumentError),
}

/// What was taken back, and what takes its place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Revoked {
    /// The proofs with a lower sequence count no more, once a document says so.
    pub lowest_sequence: u64,
    /// The others need these, since theirs were signed before.
    pub renewed: Vec<Renewed>,
}

/// A new proof for a node that was let in, to be taken there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Renewed {
    /// Which node.
    pub device: Device,
    /// The proof.
    pub proof: Representation,
    /// Where its text is.
    pub file: PathBuf,
}

impl IdentityStore {
    /// Asks in the name of this directory's node, which gets a key if it has none, to speak for an
    /// entity. `label` is what people call the node.
    ///
    /// # Errors
    /// [`EnrollError::Request`] for a label that is none; the directory cannot be written.
    pub fn enroll(&self, netid: Option<NetId>, label: &str) -> Result<Enrollment, EnrollError> {
        Ok(Enrollment::sign(&self.node_key_or_new()?, netid, unix_now(), label)?)
    }

    /// Takes the answer to [`enroll`](Self::enroll): from now on nodes of this directory speak for
    /// the entity. With `replace`, a proof for another entity, or a newer one for the same, is
    /// given up.
    ///
    /// # Errors
    /// The proof is not this node's or not valid now, the directory is somebody else already, or
    /// has a newer proof.
    pub fn accept(&self, proof: &Representation, replace: bool) -> Result<NetId, EnrollError> {
        // Nobody makes the directory somebody else between what is looked at and what is written.
        let _guard = Guard::take(self.directory().path())?;
        let (netid, node) = (proof.netid(), self.node_key_or_new()?.peer_id());
        proof
            .verify(&node, unix_now(), None)
            .map_err(|source| EnrollError::Proof { netid, source: Box::new(source) })?;
        let has_key = self.has_identity();
        if let Some(present) = self.show()?.netid
            && present != netid
            && (has_key || !replace)
        {
            return Err(EnrollError::Taken { present, netid });
        }
        let is_older = |kept: &Representation| {
            kept.netid() == netid && kept.subject() == node && kept.sequence() > proof.sequence()
        };
        // A damaged proof is what a new one mends.
        if !replace && self.proof().ok().flatten().is_some_and(|kept| is_older(&kept)) {
            return Err(EnrollError::Older { netid });
        }
        self.keep_proof(proof)?;
        Ok(netid)
    }

    /// Lets the node that asks speak for the identity for `seconds`, and `delegations` further
    /// nodes in a row in its name. Where only a proof is here, it is let in by that.
    ///
    /// # Errors
    /// The node asks another entity, the key is locked, or what is here may not let others in.
    pub fn admit(
        &self,
        request: &Enrollment,
        seconds: u64,
        delegations: u8,
        passphrase: Option<&Passphrase>,
    ) -> Result<Representation, EnrollError> {
        let guard = Guard::take(self.directory().path())?;
        let netid = self.show()?.netid.ok_or(EnrollError::NotAllowed)?;
        if let Some(&asked) = request.netid().filter(|asked| **asked != netid) {
            return Err(EnrollError::OtherEntity { asked, netid });
        }
        let mut register = Register::read(self.directory().path())?;
        let (now, node) = (unix_now(), *request.peer_id());
        let by = self.admitting(passphrase)?;
        register.raise(by.least());
        let number = register.next_sequence(unix_millis()).max(by.least());
        let proof = by.admit(node, &terms(number, now, seconds).delegations(delegations))?;
        let device = Device {
            peer_id: node,
            label: request.label().to_owned(),
            // What lets it in may end sooner.
            expires: proof.expires(),
            delegations,
        };
        register.devices.retain(|device| device.expires > now);
        register.note(device)?;
        guard.write(&register)?;
        Ok(proof)
    }

    /// Whether [`admit`](Self::admit) with as many `delegations` can succeed, before anybody asks.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit).
    pub fn may_admit(
        &self,
        delegations: u8,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), EnrollError> {
        let (now, node) = (unix_now(), self.node_key_or_new()?.peer_id());
        let by = self.admitting(passphrase)?;
        by.admit(node, &terms(by.least(), now, 0).delegations(delegations))?;
        Ok(())
    }

    /// The nodes that were let in from this directory.
    ///
    /// # Errors
    /// The register is damaged or open to others.
    pub fn devices(&self) -> Result<Vec<Device>, KeyFileError> {
        Ok(Register::read(self.directory().path())?.devices)
    }

    /// Takes back that `peer` speaks for the identity. Proofs that were signed before count no
    /// more, so the other nodes get new ones. It holds for whoever sees the next document of the
    /// identity; nobody else hears of it before the proof expires.
    ///
    /// # Errors
    /// [`EnrollError::UnknownDevice`], or the key is not here or locked.
    pub fn revoke(
        &self,
        peer: PeerId,
        passphrase: Option<&Passphrase>,
    ) -> Result<Revoked, EnrollError> {
        let guard = Guard::take(self.directory().path())?;
        let mut register = Register::read(self.directory().path())?;
        if register.devices.iter().all(|device| device.peer_id != peer) {
            return Err(EnrollError::UnknownDevice { peer });
        }
        let key = self.load(passphrase)?;
        register.devices.retain(|device| device.peer_id != peer);
        register.take_back(unix_millis());
        let renewed = self.renew(&key, &mut register)?;
        private_file::remove(&self.renewed_path(peer)).map_err(KeyFileError::from)?;
        let own = register.next_sequence(unix_millis());
        self.renew_proof(&key, &self.node_key_or_new()?, own)?;
        guard.write(&register)?;
        Ok(Revoked { lowest_sequence: register.lowest_sequence, renewed })
    }

    /// New proofs for the devices that still may, on the terms they have, kept in files: whatever
    /// comes after, they are not lost.
    pub(super) fn renew(
        &self,
        key: &SecretKey,
        register: &mut Register,
    ) -> Result<Vec<Renewed>, KeyFileError> {
        let now = unix_now();
        register.devices.retain(|device| device.expires > now);
        let folder = self.directory().path().join(RENEWED);
        private_file::make_folder(&folder)?;
        let mut renewed = Vec::new();
        for device in register.devices.clone() {
            let number = register.next_sequence(unix_millis());
            let terms = terms(number, now, device.expires.seconds_since(now));
            let terms = terms.delegations(device.delegations);
            let proof = Representation::issue(key, device.peer_id, &terms);
            let file = self.renewed_path(device.peer_id);
            renewed.push(Renewed { device, proof, file });
        }
        let texts = renewed.iter().map(|it| (it.file.clone(), it.proof.to_text()));
        private_file::replace_all(&folder, texts)?;
        Ok(renewed)
    }

    /// Where the new proof of a node is put, to be taken there.
    fn renewed_path(&self, peer: PeerId) -> PathBuf {
        self.directory().path().join(RENEWED).join(format!("{peer}.proof"))
    }

    /// What here lets others in.
    fn admitting(&self, passphrase: Option<&Passphrase>) -> Result<Admitting, EnrollError> {
        if self.has_identity() {
            return Ok(Admitting::Identity(self.load(passphrase)?));
        }
        let chain = self.proof()?.ok_or(EnrollError::NotAllowed)?;
        Ok(Admitting::Proof { node: self.node_key()?, chain: Box::new(chain) })
    }

    pub(super) fn keep_proof(&self, proof: &Representation) -> Result<(), KeyFileError> {
        Ok(private_file::replace(&self.proof_path(), proof.to_text().as_bytes())?)
    }
}

/// Who lets nodes speak for an entity: its key, or a node that may.
enum Admitting {
    Identity(SecretKey),
    Proof { node: SecretKey, chain: Box<Representation> },
}

impl Admitting {
    /// The lowest number of a proof that counts as long as this does.
    fn least(&self) -> u64 {
        match self {
            Self::Identity(_) => 0,
            Self::Proof { chain, .. } => chain.sequence(),
        }
    }

    fn admit(&self, subject: PeerId, terms: &Terms) -> Result<Representation, DelegateError> {
        match self {
            Self::Identity(key) => Ok(Representation::issue(key, subject, terms)),
            Self::Proof { node, chain } => chain.delegate(node, subject, terms),
        }
    }
}

impl EnrollError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Request(_) => "bad_request",
            Self::OtherEntity { .. } => "other_entity",
            Self::Proof { .. } => "proof_refused",
            Self::Taken { .. } => "identity_exists",
            Self::Older { .. } => "proof_older",
            Self::NotAllowed => "no_identity",
            Self::Delegate(_) => "delegation_refused",
            Self::UnknownDevice { .. } => "unknown_device",
            Self::TooLong { .. } => "answer_too_long",
            Self::Document(_) => "bad_document",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Key(error) => error.hint(),
            Self::Proof { .. } => Some(
                "netcom id enroll on this machine, and netcom id sign where the key is".to_owned(),
            ),
            Self::Taken { .. } => {
                Some("--replace if the proof there is to go, or name another --data-dir".to_owned())
            }
            Self::Older { .. } => Some("--replace if the older one is meant".to_owned()),
            Self::NotAllowed => Some("netcom id new, or netcom id import".to_owned()),
            Self::Delegate(_) => {
                Some("let it in where the key is, or with fewer --delegations here".to_owned())
            }
            Self::UnknownDevice { .. } => Some("netcom id devices".to_owned()),
            Self::OtherEntity { .. }
            | Self::Request(_)
            | Self::TooLong { .. }
            | Self::Document(_) => None,
        }
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Key(error) if error.is_retryable())
    }
}

/// The folder of proofs that are to be taken to their nodes.
const RENEWED: &str = "proofs";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use netcom_identity::UnixTime;

    use super::*;
    use crate::data_dir::DataDir;

    const DAY: u64 = 24 * 3600;

    fn store(folder: &Path, name: &str) -> IdentityStore {
        IdentityStore::new(DataDir::open(folder.join(name)).unwrap())
    }

    #[test]
    fn a_machine_is_let_in_without_ever_having_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let [owner, server] = ["owner", "server"].map(|name| store(folder.path(), name));
        let netid = owner.create(None).unwrap();
        let request = server.enroll(Some(netid), "rack 3").unwrap();
        assert_eq!(server.enroll(None, "").unwrap().peer_id(), request.peer_id());

        let proof = owner.admit(&request, DAY, 1, None).unwrap();
        let carried = Representation::from_text(&proof.to_text()).unwrap();
        assert_eq!(server.accept(&carried, false).unwrap(), netid);

        assert!(!server.has_identity());
        assert_eq!(server.show().unwrap().netid, Some(netid));
        let lock = server.directory().lock().unwrap();
        for lock in [Some(&lock), None] {
            let keys = server.process_keys(lock, None).unwrap();
            let peer = keys.node.peer_id();
            let shown = keys.issuer.unwrap().issue(peer, unix_now()).unwrap();
            assert_eq!(shown.verify(&peer, unix_now(), None).unwrap().netid, netid);
        }
        let devices = owner.devices().unwrap();
        assert_eq!((devices.len(), &devices[0].label[..]), (1, "rack 3"));
        assert_eq!(devices[0].peer_id, *request.peer_id());
    }

    #[test]
    fn a_proof_is_taken_by_the_machine_it_is_for_and_while_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let [owner, server, other] =
            ["owner", "server", "other"].map(|name| store(folder.path(), name));
        owner.create(None).unwrap();
        let request = server.enroll(None, "").unwrap();
        let proof = owner.admit(&request, DAY, 1, None).unwrap();
        assert_eq!(other.accept(&proof, false).unwrap_err().code(), "proof_refused");

        let key = owner.load(None).unwrap();
        let over = netcom_identity::Terms::new(1, UnixTime(1), UnixTime(2));
        let expired = Representation::issue(&key, *request.peer_id(), &over);
        let refused = server.accept(&expired, false).unwrap_err();
        assert!(refused.hint().unwrap().contains("netcom id enroll"), "{refused}");
        assert_eq!(server.show().unwrap().netid, None, "nothing was kept");
    }

    #[test]
    fn a_directory_that_is_somebody_takes_no_proof_for_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        let [alice, bob, server] =
            ["alice", "bob", "server"].map(|name| store(folder.path(), name));
        let netids = [&alice, &bob].map(|store| store.create(None).unwrap());
        let request = server.enroll(None, "").unwrap();
        let of_alice = alice.admit(&request, DAY, 1, None).unwrap();
        let of_bob = bob.admit(&request, DAY, 1, None).unwrap();
        server.accept(&of_alice, false).unwrap();
        assert_eq!(server.accept(&of_bob, false).unwrap_err().code(), "identity_exists");
        assert_eq!(server.show().unwrap().netid, Some(netids[0]));
        assert_eq!(server.accept(&of_bob, true).unwrap(), netids[1]);

        let older = alice.admit(&request, DAY, 1, None).unwrap();
        let newer = alice.admit(&request, DAY, 1, None).unwrap();
        server.accept(&newer, true).unwrap();
        server.accept(&newer, false).unwrap();
        assert_eq!(server.accept(&older, false).unwrap_err().code(), "proof_older");
        server.accept(&older, true).unwrap();

        let own = bob.enroll(None, "").unwrap();
        let proof = alice.admit(&own, DAY, 1, None).unwrap();
        let taken = bob.accept(&proof, true).unwrap_err();
        assert_eq!(taken.code(), "identity_exists", "a key is never put aside for a proof");
        let asked = server.enroll(Some(netids[0]), "").unwrap();
        assert_eq!(bob.admit(&asked, DAY, 1, None).unwrap_err().code(), "other_entity");
        let nobody = store(folder.path(), "nobody");
        assert_eq!(nobody.admit(&asked, DAY, 1, None).unwrap_err().code(), "no_identity");
    }

    #[test]
    fn a_machine_that_may_lets_the_next_one_in() {
        let folder = tempfile::tempdir().unwrap();
        let [owner, laptop, phone] =
            ["owner", "laptop", "phone"].map(|name| store(folder.path(), name));
        let netid = owner.create(None).unwrap();
        let proof = owner.admit(&laptop.enroll(None, "").unwrap(), DAY, 2, None).unwrap();
        laptop.accept(&proof, false).unwrap();

        let request = phone.enroll(Some(netid), "phone").unwrap();
        assert_eq!(laptop.admit(&request, DAY, 2, None).unwrap_err().code(), "delegation_refused");
        assert_eq!(laptop.may_admit(2, None).unwrap_err().code(), "delegation_refused");
        laptop.may_admit(1, None).unwrap();
        owner.may_admit(2, None).unwrap();
        assert_eq!(phone.may_admit(0, None).unwrap_err().code(), "no_identity");
        let proof = laptop.admit(&request, DAY, 1, None).unwrap();
        assert_eq!(phone.accept(&proof, false).unwrap(), netid);
        let keys = phone.process_keys(None, None).unwrap();
        let peer = keys.node.peer_id();
        let shown = keys.issuer.unwrap().issue(peer, unix_now()).unwrap();
        assert_eq!(shown.delegations(), 2);
        shown.verify(&peer, unix_now(), None).unwrap();
    }

    #[test]
    fn a_machine_whose_clock_is_behind_counts_on_above_what_lets_it_in() {
        let folder = tempfile::tempdir().unwrap();
        let [owner, laptop, phone] =
            ["owner", "laptop", "phone"].map(|name| store(folder.path(), name));
        owner.create(None).unwrap();
        let mut register = Register::default();
        register.raise(unix_millis() + 1000 * 1000 * DAY);
        Guard::take(owner.directory().path()).unwrap().write(&register).unwrap();
        let proof = owner.admit(&laptop.enroll(None, "").unwrap(), DAY, 2, None).unwrap();
        laptop.accept(&proof, false).unwrap();
        laptop.admit(&phone.enroll(None, "").unwrap(), DAY, 1, None).unwrap();
        let mut register = Register::read(laptop.directory().path()).unwrap();
        assert!(register.next_sequence(unix_millis()) > proof.sequence() + 1);
    }

    #[test]
    fn a_lost_machine_speaks_for_nobody_and_the_others_get_new_proofs() {
        let folder = tempfile::tempdir().unwrap();
        let [owner, lost, kept] = ["owner", "lost", "kept"].map(|name| store(folder.path(), name));
        owner.create(None).unwrap();
        let admit = |store: &IdentityStore, label| {
            owner.admit(&store.enroll(None, label).unwrap(), DAY, 1, None).unwrap()
        };
        let [of_lost, of_kept] = [(&lost, "lost"), (&kept, "kept")].map(|(s, l)| admit(s, l));
        let stranger = netcom_identity::SecretKey::from_bytes(&[9; 32]).peer_id();
        assert_eq!(owner.revoke(stranger, None).unwrap_err().code(), "unknown_device");
        let revoked = owner.revoke(of_lost.subject(), None).unwrap();

        let lowest = Some(revoked.lowest_sequence);
        for old in [&of_lost, &of_kept] {
            let refused = old.verify(&old.subject(), unix_now(), lowest).unwrap_err();
            assert!(matches!(refused, RepresentationError::Revoked { .. }));
        }
        let [Renewed { device, proof: new, file }] = &revoked.renewed[..] else {
            panic!("{revoked:?}")
        };
        assert_eq!(std::fs::read_to_string(file).unwrap(), new.to_text());
        assert_eq!((&device.label[..], new.subject()), ("kept", of_kept.subject()));
        new.verify(&new.subject(), unix_now(), lowest).unwrap();
        assert!(new.expires() <= of_kept.expires(), "nobody may for longer than before");
        kept.accept(new, false).unwrap();
        let own = owner.proof().unwrap().unwrap();
        own.verify(&own.subject(), unix_now(), lowest).unwrap();
        assert_eq!(owner.devices().unwrap().len(), 1);
        owner.revoke(of_kept.subject(), None).unwrap();
        assert!(!file.exists(), "nobody carries a proof that was taken back");
    }

    #[test]
    fn no_clock_that_was_set_back_takes_back_the_proofs_of_those_who_stay() {
        let folder = tempfile::tempdir().unwrap();
        let [owner, server, lost] =
            ["owner", "server", "lost"].map(|name| store(folder.path(), name));
        owner.create(None).unwrap();
        // The clock was days ahead when a machine was let in.
        let mut register = Register::default();
        let ahead = register.next_sequence(unix_millis() + 1000 * 1000 * DAY);
        Guard::take(owner.directory().path()).unwrap().write(&register).unwrap();
        for store in [&server, &lost] {
            let proof = owner.admit(&store.enroll(None, "").unwrap(), DAY, 1, None).unwrap();
            assert!(proof.sequence() > ahead);
            store.accept(&proof, false).unwrap();
        }

        let lost = lost.show().unwrap().peer_id.unwrap();
        let revoked = owner.revoke(lost, None).unwrap();
        server.accept(&revoked.renewed[0].proof, false).unwrap();
        for store in [&owner, &server] {
            let lock = store.directory().lock().unwrap();
            for lock in [Some(&lock), None] {
                let keys = store.process_keys(lock, None).unwrap();
                let peer = keys.node.peer_id();
                let shown = keys.issuer.unwrap().issue(peer, unix_now()).unwrap();
                shown.verify(&peer, unix_now(), Some(revoked.lowest_sequence)).unwrap();
            }
            let kept = store.proof().unwrap().unwrap();
            kept.verify(&kept.subject(), unix_now(), Some(revoked.lowest_sequence)).unwrap();
        }
    }
}
