//! What the fuzz targets run, and the test with others' vectors. A violated rule panics, which is
//! what a fuzzer looks for; nothing else calls this. Each function tells whether the input was
//! accepted.
//!
//! No fuzzer guesses a signature or a checksum, so where an input falls short of nothing else, it
//! is completed and read again: what lies behind the signature is run too.

use std::sync::LazyLock;

use prost::Message as _;

use crate::{
    DirectorySuffixes, DomainName, DottedName, Enrollment, EnrollmentError, EntityDocument,
    EntityDocumentError, KeyType, MAX_ENROLLMENT_BYTES, MAX_ENTITY_BYTES, MAX_LABEL_BYTES,
    MAX_RECORD_BYTES, MAX_REPRESENTATION_BYTES, Multiaddr, NetId, NodeRecord, NodeRecordError,
    PeerId, Petname, PublicKey, Representation, RepresentationError, SecretKey, Target, Ticket,
    UnixTime, address, certificate, directory, enrollment, entity, parse_peer_id,
    peer_id_from_bytes,
    proto::{
        self, SignedDirectoryEntry, SignedEnrollment, SignedEntityDocument, SignedNodeRecord,
        SignedStatement, Statement,
    },
    record, representation,
    ticket::{SUM, checksum},
    with_own_peer_id,
};

/// What each byte of the secret is whose key signs the entries of directories here.
pub const DIRECTORY: u8 = 8;

/// Reads `input` as a representation.
///
/// # Panics
///
/// When writing and reading it changes it, or when it is valid where it cannot be.
#[must_use]
pub fn representation(input: &[u8]) -> bool {
    let Ok(chain) = Representation::decode(input) else { return false };
    check_representation(&chain);
    if let Some(signed) = resigned(input) {
        let signed = Representation::decode(&signed).expect("only signatures were changed");
        let before_the_end = UnixTime(signed.expires().0.saturating_sub(1));
        let verdict = signed.verify(&signed.subject(), before_the_end, None);
        assert!(!matches!(verdict, Err(RepresentationError::Signature { .. })), "{verdict:?}");
        check_representation(&signed);
    }
    true
}

/// Reads `input` as the value of a certificate's extension, which a session carries too.
///
/// # Panics
///
/// When writing and reading the claims changes them.
#[must_use]
pub fn claims(input: &[u8]) -> bool {
    let Ok(extension) = certificate::decode(input) else { return false };
    extension.representations.iter().for_each(check_representation);
    assert!(
        extension.versions.lowest > 0 && extension.versions.common(extension.versions).is_some()
    );
    let again = certificate::encode(&extension.representations).expect("it was within its bounds");
    assert!(again.len() <= certificate::MAX_BYTES);
    let again = certificate::decode(&again).expect("what is written is read");
    assert_eq!(again.representations, extension.representations);
    true
}

/// Reads `input` as a node record.
///
/// # Panics
///
/// When writing and reading it changes it, or when a record passes that is not signed.
#[must_use]
pub fn record(input: &[u8]) -> bool {
    match NodeRecord::decode(input) {
        Ok(record) => {
            check_record(&record);
            true
        }
        Err(NodeRecordError::Signature(_)) => {
            if let Some(signed) = resigned_record(input) {
                check_record(&NodeRecord::decode(&signed).expect("nothing else was wrong"));
            }
            false
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}

/// Reads `input` as an entity document.
///
/// # Panics
///
/// When writing and reading it changes it, or when a document passes that is not signed.
#[must_use]
pub fn entity(input: &[u8]) -> bool {
    match EntityDocument::decode(input) {
        Ok(document) => {
            check_entity(&document);
            true
        }
        Err(EntityDocumentError::Signature(_)) => {
            if let Some(signed) = resigned_entity(input) {
                check_entity(&EntityDocument::decode(&signed).expect("nothing else was wrong"));
            }
            false
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}

/// Reads `input` as a request to speak for an entity.
///
/// # Panics
///
/// When writing and reading it changes it, or when a request passes that is not signed.
#[must_use]
pub fn enrollment(input: &[u8]) -> bool {
    match Enrollment::decode(input) {
        Ok(request) => {
            check_enrollment(&request);
            true
        }
        Err(EnrollmentError::Signature(_)) => {
            if let Some(signed) = resigned_enrollment(input) {
                check_enrollment(&Enrollment::decode(&signed).expect("nothing else was wrong"));
            }
            false
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}

/// Reads `input` as the text of a ticket.
///
/// # Panics
///
/// When writing and reading it changes it.
#[must_use]
pub fn ticket(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    let body = text.rsplit_once(SUM).map_or(text, |(body, _)| body);
    let complete = format!("{body}{SUM}{}", checksum(body));
    for text in [text, &complete] {
        match text.parse::<Ticket>() {
            Ok(ticket) => {
                assert_eq!(ticket.to_string().parse().as_ref(), Ok(&ticket), "{text}");
                assert_eq!(text.parse().as_ref(), Ok(&Target::from(ticket)));
            }
            Err(error) => drop(error.to_string()),
        }
    }
    text.parse::<Ticket>().is_ok()
}

/// Reads `input` as whatever somebody types: names, keys, domains.
///
/// # Panics
///
/// When writing and reading it changes it, or depends on which parser reads it.
#[must_use]
pub fn target(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    if let Ok(netid) = text.parse::<NetId>() {
        assert_eq!(netid.to_string(), text.to_lowercase());
    }
    if let Ok(peer) = parse_peer_id(text) {
        assert_eq!(peer.to_string(), text);
    }
    if let Ok(name) = text.parse::<Petname>() {
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
        assert_eq!(text.parse(), Ok(Target::Petname(name)));
    }
    if let Ok(name) = text.parse::<DomainName>() {
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
    }
    // A first line as a suffix of a directory, for what follows it.
    let (first, rest) = text.split_once('\n').unwrap_or(("corp", text));
    if let Ok(suffixes) = DirectorySuffixes::default().with(first)
        && let Ok(target) = Target::parse(rest, &suffixes)
    {
        assert_eq!(Target::parse(&target.to_string(), &suffixes).as_ref(), Ok(&target), "{rest}");
    }
    match text.parse::<Target>() {
        Ok(target) => {
            assert_eq!(target.to_string().parse().as_ref(), Ok(&target), "{text}");
            true
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}

/// Reads `input` as an address, once as text and once in binary.
///
/// # Panics
///
/// When writing and reading it changes it.
#[must_use]
pub fn address(input: &[u8]) -> bool {
    let binary = address::from_bytes(input);
    let text = str::from_utf8(input).ok().and_then(|text| address::from_text(text).ok());
    for address in binary.iter().chain(&text) {
        assert!(address.to_vec().len() <= address::MAX_ADDRESS_BYTES);
        assert_eq!(address::from_bytes(&address.to_vec()).as_ref(), Ok(address));
        assert_eq!(address::from_text(&address.to_string()).as_ref(), Ok(address));
        check_owned(address);
    }
    binary.is_ok() || text.is_some()
}

/// Reads `input` as a public key, a NetId and a PeerId, in binary.
///
/// # Panics
///
/// When writing and reading it changes it, or as text it is another one.
#[must_use]
pub fn key(input: &[u8]) -> bool {
    let public = PublicKey::from_protobuf(input);
    if let Ok(key) = &public {
        assert_eq!(key.to_protobuf(), input);
        assert_eq!(PublicKey::from_peer_id(&key.peer_id()).as_ref(), Ok(key));
    }
    let netid = NetId::from_bytes(input);
    if let Ok(netid) = &netid {
        assert_eq!(netid.to_bytes(), input);
        assert_eq!(netid.to_string().parse().as_ref(), Ok(netid));
        assert_eq!(NetId::try_from(netid.peer_id()).as_ref(), Ok(netid));
        // No key takes just any signature.
        assert!(netid.public_key().verify("fuzzing", input, &[0; 64]).is_err());
    }
    let peer = peer_id_from_bytes(input);
    if let Ok(peer) = &peer {
        assert_eq!(peer.to_bytes(), input);
        assert_eq!(parse_peer_id(&peer.to_string()).as_ref(), Ok(peer));
    }
    public.is_ok() || netid.is_ok() || peer.is_ok()
}

/// Whether `key` is an Ed25519 key that is taken, and its holder signed exactly these bytes: so
/// others' vectors are judged, which know nothing of the contexts that our signatures are for.
#[must_use]
pub fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    PublicKey::new(KeyType::Ed25519, key)
        .is_ok_and(|key| key.verify_bare(message, signature).is_ok())
}

fn check_representation(chain: &Representation) {
    let encoded = chain.encode();
    assert!(encoded.len() <= MAX_REPRESENTATION_BYTES);
    assert_eq!(Representation::decode(&encoded).as_ref(), Ok(chain));
    let (subject, expires) = (chain.subject(), chain.expires());
    let verdict = chain.verify(&subject, UnixTime(expires.0.saturating_sub(1)), None);
    let Ok(represents) = verdict else { return drop(verdict.map_err(|error| error.to_string())) };
    assert_eq!((represents.netid, represents.subject), (chain.netid(), subject));
    assert!(chain.delegations() <= usize::from(representation::MAX_DELEGATIONS));
    // Over, revoked, or shown by somebody else.
    assert!(chain.verify(&subject, expires, None).is_err());
    let above = chain.sequence().saturating_add(1);
    assert!(above == chain.sequence() || chain.verify(&subject, UnixTime(0), Some(above)).is_err());
    assert!(chain.verify(&stranger(), expires, None).is_err());
}

fn check_record(record: &NodeRecord) {
    let encoded = record.encode();
    assert!(encoded.len() <= MAX_RECORD_BYTES);
    assert_eq!(NodeRecord::decode(&encoded).as_ref(), Ok(record));
    assert!(!record.is_newer_than(record));
    assert!(record.verify(record.expires()).is_err());
    for address in record.addresses() {
        assert_eq!(address::last_peer_id(address).as_ref(), Some(record.peer_id()));
    }
    for chain in record.representations() {
        assert_eq!(chain.subject(), *record.peer_id());
        let _ = record.represents(&chain.netid(), UnixTime(1500), Some(1));
    }
}

fn check_entity(document: &EntityDocument) {
    let encoded = document.encode();
    assert!(encoded.len() <= MAX_ENTITY_BYTES);
    assert_eq!(EntityDocument::decode(&encoded).as_ref(), Ok(document));
    let description = document.description();
    assert!(document.verify(description.expires).is_err());
    for name in &description.names {
        let read = DottedName::parse(name, &DirectorySuffixes::default());
        assert_eq!(read.map_or_else(|_| name.clone(), |read| read.to_string()), *name);
    }
    for hint in &description.hints {
        assert!(address::last_peer_id(hint).is_some());
    }
}

fn check_enrollment(request: &Enrollment) {
    let encoded = request.encode();
    assert!(encoded.len() <= MAX_ENROLLMENT_BYTES);
    assert_eq!(Enrollment::decode(&encoded).as_ref(), Ok(request));
    let label = request.label();
    assert!(label.len() <= MAX_LABEL_BYTES && !label.chars().any(char::is_control));
    let changed = UnixTime(request.created().0 ^ 1);
    let mut message = SignedEnrollment::decode(&encoded[..]).expect("it was written");
    let mut said = proto::Enrollment::decode(&message.enrollment[..]).expect("it was written");
    said.created = changed.0;
    message.enrollment = said.encode_to_vec();
    assert!(Enrollment::decode(&message.encode_to_vec()).is_err(), "nobody signed that");
}

/// An address that is completed stays as it is.
fn check_owned(address: &Multiaddr) {
    if let Ok(owned) = with_own_peer_id(address, &stranger()) {
        assert_eq!(with_own_peer_id(&owned, &stranger()).as_ref(), Ok(&owned));
        assert_eq!(address::last_peer_id(&owned), Some(stranger()));
        assert!(address::without_last(&owned).iter().count() > 0);
    }
}

/// The chain with the signatures of those whose keys are known here.
fn resigned(input: &[u8]) -> Option<Vec<u8>> {
    let mut message = proto::Representation::decode(input).ok()?;
    let mut signer: Option<PeerId> = None;
    for SignedStatement { statement, signature } in &mut message.steps {
        let said = Statement::decode(statement.as_slice()).ok()?;
        let (peer, context) = match signer {
            None => (NetId::from_bytes(&said.netid).ok()?.peer_id(), representation::ISSUE),
            Some(signer) => (signer, representation::DELEGATE),
        };
        *signature = known(&peer)?.sign(context, statement).to_vec();
        signer = Some(peer_id_from_bytes(&said.subject).ok()?);
    }
    Some(message.encode_to_vec())
}

/// The record with the signature of its node, if that is known here.
fn resigned_record(input: &[u8]) -> Option<Vec<u8>> {
    let mut message = SignedNodeRecord::decode(input).ok()?;
    let said = proto::NodeRecord::decode(message.record.as_slice()).ok()?;
    let peer = peer_id_from_bytes(&said.peer_id).ok()?;
    message.signature = known(&peer)?.sign(record::CONTEXT, &message.record).to_vec();
    Some(message.encode_to_vec())
}

/// The document signed by the key it names, if that is one of the first inputs' keys.
fn resigned_entity(input: &[u8]) -> Option<Vec<u8>> {
    let mut message = SignedEntityDocument::decode(input).ok()?;
    let said = proto::EntityDocument::decode(message.document.as_slice()).ok()?;
    let peer = NetId::from_bytes(&said.netid).ok()?.peer_id();
    message.signature = known(&peer)?.sign(entity::CONTEXT, &message.document).to_vec();
    Some(message.encode_to_vec())
}

/// The request signed by the node it names, if that is one of the first inputs' keys.
fn resigned_enrollment(input: &[u8]) -> Option<Vec<u8>> {
    let mut message = SignedEnrollment::decode(input).ok()?;
    let said = proto::Enrollment::decode(message.enrollment.as_slice()).ok()?;
    let peer = peer_id_from_bytes(&said.peer_id).ok()?;
    message.signature = known(&peer)?.sign(enrollment::CONTEXT, &message.enrollment).to_vec();
    Some(message.encode_to_vec())
}

/// The directory's entry signed by the key that [`DIRECTORY`] seeds, and the document in it by the
/// one it names, if that is one of the first inputs' keys.
#[must_use]
pub fn resigned_entry(input: &[u8]) -> Option<Vec<u8>> {
    let mut message = SignedDirectoryEntry::decode(input).ok()?;
    let mut said = proto::DirectoryEntry::decode(message.entry.as_slice()).ok()?;
    if let Some(document) = resigned_entity(&said.document) {
        said.document = document;
        message.entry = said.encode_to_vec();
    }
    let key = SecretKey::from_bytes(&[DIRECTORY; 32]);
    message.signature = key.sign(directory::CONTEXT, &message.entry).to_vec();
    Some(message.encode_to_vec())
}

/// The secret key of a peer that has one of those of the first inputs.
fn known(peer: &PeerId) -> Option<&'static SecretKey> {
    static KEYS: LazyLock<Vec<(PeerId, SecretKey)>> = LazyLock::new(|| {
        let keys = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]));
        keys.map(|key| (key.peer_id(), key)).collect()
    });
    KEYS.iter().find(|(known, _)| known == peer).map(|(_, key)| key)
}

fn stranger() -> PeerId {
    static STRANGER: LazyLock<PeerId> = LazyLock::new(|| SecretKey::from_bytes(&[9; 32]).peer_id());
    *STRANGER
}
