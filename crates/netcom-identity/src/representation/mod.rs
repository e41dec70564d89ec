//! Proof of Representation: an entity lets a node speak for it.

mod errors;
mod terms;

use std::fmt;

use libp2p_identity::PeerId;
use prost::Message as _;

pub use self::{
    errors::{DelegateError, RepresentationError},
    terms::Terms,
};
use crate::{
    decode::{self, DecodeError},
    key::{PublicKey, SecretKey},
    metadata::Metadata,
    netid::NetId,
    peer::peer_id_from_bytes,
    proto::{self, SignedStatement, Statement},
    role::Roles,
    time::UnixTime,
};

/// So many steps may follow the entity's own statement.
pub const MAX_DELEGATIONS: u8 = 2;
/// An encoded representation has at most this many bytes.
pub const MAX_REPRESENTATION_BYTES: usize = 6 * 1024;

/// A Proof of Representation: a chain of signed statements by which a NetID's key lets a node
/// speak for it, directly or through at most two others.
///
/// A value of this type is well formed, not yet true: [`Representation::verify`] tells.
///
/// ```
/// # use netcom_identity::{Representation, SecretKey, Terms, UnixTime};
/// # let [alice, server, helper] = [1, 2, 3].map(|seed| SecretKey::from_bytes(&[seed; 32]));
/// let (start, end) = (UnixTime(1000), UnixTime(2000));
/// let terms = Terms::new(1, start, end).delegations(1);
/// let proof = Representation::issue(&alice, server.peer_id(), &terms);
///
/// // The server lets a helper speak for Alice, without her key.
/// let terms = Terms::new(1, start, end);
/// let further = proof.delegate(&server, helper.peer_id(), &terms)?;
/// let represents = further.verify(&helper.peer_id(), UnixTime(1500), None)?;
/// assert_eq!(represents.netid, alice.net_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Representation {
    first: Step,
    delegated: Vec<Step>,
}

/// What a verified [`Representation`] proves.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Represents {
    /// The entity spoken for.
    pub netid: NetId,
    /// The node that speaks.
    pub subject: PeerId,
    /// What the node may be for the entity.
    pub roles: Roles,
    /// What the last statement says about the node.
    pub metadata: Metadata,
    /// The lowest sequence in the chain: a minimum above it would have refused the chain.
    pub sequence: u64,
    /// When the first statement of the chain ends.
    pub expires: UnixTime,
}

impl Represents {
    /// A node under the entity's own key needs no statement.
    pub(crate) fn by_own_key(netid: NetId) -> Self {
        Self {
            netid,
            subject: netid.peer_id(),
            roles: Roles::all(),
            metadata: Metadata::new(),
            sequence: u64::MAX,
            expires: UnixTime(u64::MAX),
        }
    }
}

impl Representation {
    /// Lets `subject` speak for the NetID of `netid_key`.
    #[must_use]
    pub fn issue(netid_key: &SecretKey, subject: PeerId, terms: &Terms) -> Self {
        let first = Step::sign(netid_key, ISSUE, netid_key.net_id(), subject, terms);
        Self { first, delegated: Vec::new() }
    }

    /// Lets `subject` speak for the entity in place of the chain's last node, whose key signs.
    ///
    /// The chain's other terms stay in force: the new statement can only narrow them.
    ///
    /// # Errors
    ///
    /// [`DelegateError`] if the chain does not allow it.
    pub fn delegate(
        &self,
        delegate_key: &SecretKey,
        subject: PeerId,
        terms: &Terms,
    ) -> Result<Self, DelegateError> {
        let last = self.last();
        if delegate_key.peer_id() != last.subject {
            return Err(DelegateError::NotTheSubject { subject: last.subject });
        }
        if self.delegated.len() >= usize::from(MAX_DELEGATIONS) {
            return Err(DelegateError::TooDeep);
        }
        if last.terms.delegations == 0 {
            return Err(DelegateError::NotAllowed);
        }
        if terms.delegations >= last.terms.delegations {
            return Err(DelegateError::DelegationsWidened);
        }
        if !terms.roles.is_within(last.terms.roles) {
            return Err(DelegateError::RolesWidened);
        }
        let mut chain = self.clone();
        chain.delegated.push(Step::sign(delegate_key, DELEGATE, self.netid(), subject, terms));
        Ok(chain)
    }

    /// Checks everything: that each statement is signed by the right key for this very use, allows
    /// the next one, is valid at `now` and not revoked, and that the last one is about `subject`,
    /// the PeerId that the link has proved.
    ///
    /// Whether [`Represents::netid`] is the entity wanted is the caller's question;
    /// [`NetId::represented_by`] asks it too. `minimum_sequence` is the lowest sequence not
    /// revoked, as far as the caller knows.
    ///
    /// # Errors
    ///
    /// [`RepresentationError`] names the first thing that is wrong.
    pub fn verify(
        &self,
        subject: &PeerId,
        now: UnixTime,
        minimum_sequence: Option<u64>,
    ) -> Result<Represents, RepresentationError> {
        self.verify_signatures()?;
        let mut parent: Option<&Step> = None;
        for (number, step) in (1..).zip(self.steps()) {
            if let Some(parent) = parent {
                step.check_within(parent, number)?;
            }
            step.terms.check_validity(number, now)?;
            if minimum_sequence.is_some_and(|minimum| step.terms.sequence < minimum) {
                return Err(RepresentationError::Revoked {
                    step: number,
                    sequence: step.terms.sequence,
                    minimum: minimum_sequence.unwrap_or_default(),
                });
            }
            parent = Some(step);
        }
        let last = self.last();
        if last.subject != *subject {
            return Err(RepresentationError::WrongSubject { claimed: last.subject });
        }
        Ok(Represents {
            netid: self.netid(),
            subject: *subject,
            roles: last.terms.roles,
            metadata: last.terms.metadata.clone(),
            sequence: self.sequence(),
            expires: self.expires(),
        })
    }

    /// The entity that the chain claims to speak for.
    #[must_use]
    pub fn netid(&self) -> NetId {
        self.first.netid
    }

    /// The node that the chain claims may speak.
    #[must_use]
    pub fn subject(&self) -> PeerId {
        self.last().subject
    }

    /// When the first of the statements ends, so that a node knows when to ask for a new one.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.steps().map(|step| step.terms.expires).fold(UnixTime(u64::MAX), UnixTime::min)
    }

    /// The lowest sequence of the statements.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.steps().map(|step| step.terms.sequence).fold(u64::MAX, u64::min)
    }

    /// How many nodes stand between the entity and the last node.
    #[must_use]
    pub fn delegations(&self) -> usize {
        self.delegated.len()
    }

    /// The encoding, at most [`MAX_REPRESENTATION_BYTES`] long.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let steps: Vec<_> = self
            .steps()
            .map(|step| SignedStatement {
                statement: step.statement.clone(),
                signature: step.signature.to_vec(),
            })
            .collect();
        let step_count = steps.len() as u32; // at most three
        proto::Representation { step_count, steps }.encode_to_vec()
    }

    /// Reads an encoding. It says nothing yet about whether the chain is true.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are no chain within the bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode::check_length(WHAT, bytes, MAX_REPRESENTATION_BYTES)?;
        let message: proto::Representation = decode::message(WHAT, bytes)?;
        let steps = message.steps.len();
        if steps > usize::from(MAX_DELEGATIONS).saturating_add(1) {
            return Err(DecodeError::TooDeep { steps });
        }
        if usize::try_from(message.step_count) != Ok(steps) {
            return Err(DecodeError::Malformed { what: WHAT });
        }
        let mut steps = message.steps.into_iter().map(Step::from_proto);
        let first = steps.next().unwrap_or(Err(DecodeError::Malformed { what: WHAT }))?;
        Ok(Self { first, delegated: steps.collect::<Result<_, _>>()? })
    }

    /// Checks the signatures alone: forged content must not decide which refusal is told.
    fn verify_signatures(&self) -> Result<(), RepresentationError> {
        let mut parent: Option<&Step> = None;
        for (number, step) in (1..).zip(self.steps()) {
            let (key, context) = match parent {
                None => (*self.netid().public_key(), ISSUE),
                Some(parent) => (parent.delegate_key(number)?, DELEGATE),
            };
            key.verify(context, &step.statement, &step.signature)
                .map_err(|source| RepresentationError::Signature { step: number, source })?;
            parent = Some(step);
        }
        Ok(())
    }

    fn last(&self) -> &Step {
        self.delegated.last().unwrap_or(&self.first)
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        std::iter::once(&self.first).chain(&self.delegated)
    }
}

impl fmt::Debug for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Representation")
            .field("netid", &self.netid())
            .field("subject", &self.subject())
            .field("delegations", &self.delegations())
            .field("sequence", &self.sequence())
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

/// One signed statement, as it was signed and as it reads.
#[derive(Clone, Eq, PartialEq)]
struct Step {
    statement: Vec<u8>,
    signature: [u8; 64],
    netid: NetId,
    subject: PeerId,
    terms: Terms,
}

impl Step {
    fn sign(key: &SecretKey, context: &str, netid: NetId, subject: PeerId, terms: &Terms) -> Self {
        let statement = Statement {
            netid: netid.to_bytes(),
            subject: subject.to_bytes(),
            not_before: terms.not_before.0,
            expires: terms.expires.0,
            sequence: terms.sequence,
            roles: terms.roles.bits(),
            metadata: terms.metadata.to_proto(),
            delegations: terms.delegations.into(),
        }
        .encode_to_vec();
        let signature = key.sign(context, &statement);
        Self { statement, signature, netid, subject, terms: terms.clone() }
    }

    fn from_proto(step: SignedStatement) -> Result<Self, DecodeError> {
        let malformed = DecodeError::Malformed { what: WHAT };
        let Ok(signature) = step.signature.try_into() else { return Err(malformed) };
        let statement: Statement = decode::message(WHAT, &step.statement)?;
        let delegations = u8::try_from(statement.delegations).map_err(|_| malformed)?;
        let terms = Terms::new(
            statement.sequence,
            UnixTime(statement.not_before),
            UnixTime(statement.expires),
        )
        .roles(Roles::from_bits(statement.roles))
        .metadata(Metadata::from_proto(&statement.metadata)?)
        .delegations(delegations);
        Ok(Self {
            netid: NetId::from_bytes(&statement.netid)?,
            subject: peer_id_from_bytes(&statement.subject)?,
            statement: step.statement,
            signature,
            terms,
        })
    }

    /// The key that signs the statement after this one.
    fn delegate_key(&self, step: usize) -> Result<PublicKey, RepresentationError> {
        let signer = self.subject;
        PublicKey::from_peer_id(&signer)
            .map_err(|_| RepresentationError::DelegateKeyHidden { step, signer })
    }

    /// Checks that the statement before this one allows it.
    fn check_within(&self, parent: &Self, step: usize) -> Result<(), RepresentationError> {
        if self.netid != parent.netid {
            return Err(RepresentationError::OtherEntity { step, netid: self.netid });
        }
        if parent.terms.delegations == 0 {
            return Err(RepresentationError::DelegationNotAllowed { step, by: parent.subject });
        }
        if self.terms.delegations >= parent.terms.delegations {
            return Err(RepresentationError::DelegationsWidened { step });
        }
        if !self.terms.roles.is_within(parent.terms.roles) {
            return Err(RepresentationError::RolesWidened { step });
        }
        Ok(())
    }
}

const WHAT: &str = "representation";

/// What a NetID's key signs statements for.
pub(crate) const ISSUE: &str = "netcom/representation/1";
/// What a node's key signs further statements for.
pub(crate) const DELEGATE: &str = "netcom/delegation/1";
