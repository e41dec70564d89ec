//! Why a representation is refused or cannot be passed on. Steps count from 1, the entity's own.

use libp2p_identity::PeerId;

use crate::{key::SignatureError, netid::NetId, time::UnixTime};

/// Why a chain proves nothing. The node that showed it is at fault, unless clocks differ.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RepresentationError {
    /// The node claims other entities, or none. Look for another node of this one.
    #[error("the node does not claim to speak for {netid}")]
    NotClaimed {
        /// The entity wanted.
        netid: NetId,
    },
    /// Altered, forged, or signed for another use. Never retry.
    #[error("statement {step} of the representation is not signed by who should have signed it")]
    Signature {
        /// The statement, from 1.
        step: usize,
        /// What is wrong with the signature.
        source: SignatureError,
    },
    /// Only a PeerId that holds its key can let others in.
    #[error("statement {step} is signed by {signer}, whose PeerId does not hold its key")]
    DelegateKeyHidden {
        /// The statement, from 1.
        step: usize,
        /// Who signed it.
        signer: PeerId,
    },
    /// The chain mixes statements about different entities.
    #[error("statement {step} of the representation is about another entity, {netid}")]
    OtherEntity {
        /// The statement, from 1.
        step: usize,
        /// What it is about.
        netid: NetId,
    },
    /// The node was not allowed to let another one in.
    #[error("statement {step}: {by} may not let others speak for the entity")]
    DelegationNotAllowed {
        /// The statement, from 1.
        step: usize,
        /// Who signed it.
        by: PeerId,
    },
    /// The statement allows more further steps than the one before it left.
    #[error("statement {step} allows more delegation than the one before it")]
    DelegationsWidened {
        /// The statement, from 1.
        step: usize,
    },
    /// The statement grants a role that the one before it did not.
    #[error("statement {step} grants roles that the one before it does not")]
    RolesWidened {
        /// The statement, from 1.
        step: usize,
    },
    /// Its validity ends before it begins.
    #[error("statement {step} of the representation is at no time valid")]
    NeverValid {
        /// The statement, from 1.
        step: usize,
    },
    /// Too early. Compare the clocks, else try later.
    #[error(
        "statement {step} of the representation is valid from {not_before} on, and it is {now}: \
         compare the clocks of both machines"
    )]
    NotYetValid {
        /// The statement, from 1.
        step: usize,
        /// The first valid second.
        not_before: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
    /// Too late. The node needs a renewed statement.
    #[error(
        "statement {step} of the representation expired at {expires}, and it is {now}: \
         the node needs a new one"
    )]
    Expired {
        /// The statement, from 1.
        step: usize,
        /// The first invalid second.
        expires: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
    /// The entity has revoked what lies below a sequence.
    #[error(
        "statement {step} of the representation has sequence {sequence}, and those below \
         {minimum} are revoked: the node needs a new one"
    )]
    Revoked {
        /// The statement, from 1.
        step: usize,
        /// Its sequence.
        sequence: u64,
        /// The lowest one that counts.
        minimum: u64,
    },
    /// The chain is another node's. Never retry.
    #[error("the representation is about another node, {claimed}")]
    WrongSubject {
        /// Whom the chain is about.
        claimed: PeerId,
    },
}

/// Why a node cannot let another one speak for the entity.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// Sign with the key of the node the chain is about.
    #[error("only {subject} can pass this representation on")]
    NotTheSubject {
        /// The node the chain is about.
        subject: PeerId,
    },
    /// Ask the entity for a statement that allows it.
    #[error("the representation does not allow delegation: ask its issuer for one that does")]
    NotAllowed,
    /// Two nodes in a row were let in already. Ask one of those before.
    #[error("at most two delegations follow the entity's own statement")]
    TooDeep,
    /// Allow fewer further steps.
    #[error("a delegated representation must allow fewer delegations than the one it comes from")]
    DelegationsWidened,
    /// Grant only roles that the chain has.
    #[error("a delegated representation cannot grant roles that the one it comes from lacks")]
    RolesWidened,
}
