use std::time::{Duration, Instant};

use netcom_identity::{Terms, UnixTime};
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SigningKey};
use rustls::crypto::aws_lc_rs;

use super::*;

const NOW: u64 = 1_800_000_000;

fn identity() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

/// A certificate made as ours are, but for what a test changes.
fn forge(
    pair: &impl SigningKey,
    proof: Option<Vec<u8>>,
    change: impl FnOnce(&mut CertificateParams),
) -> Vec<u8> {
    let mut params = CertificateParams::default();
    if let Some(proof) = proof {
        params.custom_extensions = vec![CustomExtension::from_oid_content(KEY_EXTENSION, proof)];
    }
    change(&mut params);
    params.self_signed(pair).unwrap().der().to_vec()
}

fn proof_for(pair: &impl PublicKeyData) -> Vec<u8> {
    let key = identity();
    let signature = key.sign_libp2p_tls(&pair.subject_public_key_info());
    signed_key(&key.public_key().to_protobuf(), &signature)
}

fn p256() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn judge(der: &[u8]) -> Result<Proven, CertificateError> {
    verify(&CertificateDer::from(der), 0, NOW, &KnownCertificates::default())
}

fn refusal(der: &[u8]) -> CertificateError {
    judge(der).unwrap_err()
}

fn own(representations: &[Representation]) -> Vec<u8> {
    let provider = aws_lc_rs::default_provider();
    let issued = issue(&identity(), representations, &provider).unwrap();
    issued.cert[0].to_vec()
}

#[test]
fn our_certificate_proves_the_peer_and_carries_its_claims() {
    let subject = identity().peer_id();
    let terms = Terms::new(1, UnixTime(NOW), UnixTime(NOW + 60));
    let claims: Vec<Representation> = (50..54)
        .map(|seed| Representation::issue(&SecretKey::from_bytes(&[seed; 32]), subject, &terms))
        .collect();
    let der = own(&claims);
    let proven = judge(&der).unwrap();
    assert_eq!(proven.peer, subject);
    assert_eq!(proven.representations, claims);
    assert!(der.len() < 4096, "{} bytes", der.len());
    assert!(judge(&own(&[])).unwrap().representations.is_empty());
}

#[test]
fn too_many_claims_are_refused_when_issued() {
    let terms = Terms::new(1, UnixTime(NOW), UnixTime(NOW + 60));
    let claim = Representation::issue(&identity(), identity().peer_id(), &terms);
    let provider = aws_lc_rs::default_provider();
    let error = issue(&identity(), &vec![claim; 5], &provider).unwrap_err();
    assert!(matches!(error, IssueError::Representations(_)), "{error}");
}

#[test]
fn certificates_of_the_libp2p_specification_are_judged_as_it_says() {
    let decode = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let peer = judge(&decode(ED25519)).unwrap().peer;
    assert_eq!(peer.to_string(), "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv");
    // Keys of other kinds than Ed25519 name no node here yet.
    assert_eq!(refusal(&decode(ECDSA)), CertificateError::IdentityKey);
    assert_eq!(refusal(&decode(SECP256K1)), CertificateError::IdentityKey);
    assert_eq!(refusal(&decode(MISMATCH)), CertificateError::IdentityKey);
}

#[test]
fn every_accepted_curve_is_accepted() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let der = forge(&pair, Some(proof_for(&pair)), |_| {});
        assert_eq!(judge(&der).unwrap().peer, identity().peer_id());
    }
}

#[test]
fn a_chain_is_refused() {
    let der = own(&[]);
    let error =
        verify(&CertificateDer::from(der), 1, NOW, &KnownCertificates::default()).unwrap_err();
    assert_eq!(error, CertificateError::Count(2));
}

/// A key as long as nobody's, which signs nothing.
struct HugeRsa(Vec<u8>);

impl HugeRsa {
    fn new() -> Self {
        let mut body = Vec::new();
        der_header(0x02, 2049, &mut body);
        body.push(0);
        body.extend([0xff; 2048]);
        body.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        let mut der = Vec::new();
        der_header(SEQUENCE, body.len(), &mut der);
        der.extend(body);
        Self(der)
    }
}

impl PublicKeyData for HugeRsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for HugeRsa {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0x55; 2048])
    }
}

#[test]
fn a_16_kilobit_rsa_certificate_costs_next_to_nothing() {
    let pair = HugeRsa::new();
    let der = forge(&pair, Some(proof_for(&pair)), |_| {});
    let quickest = (0..20)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(refusal(&der), CertificateError::Algorithm);
            began.elapsed()
        })
        .min();
    assert!(quickest < Some(Duration::from_millis(2)), "{quickest:?}");
}

#[test]
fn an_oversized_certificate_is_not_even_parsed() {
    let mut der = own(&[]);
    der.resize(MAX_CERTIFICATE + 1, 0);
    assert_eq!(refusal(&der), CertificateError::TooLarge(MAX_CERTIFICATE + 1));
    let pair = p256();
    let padded = forge(&pair, Some(proof_for(&pair)), |params| {
        let padding = vec![0; MAX_CERTIFICATE];
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], padding));
    });
    assert!(matches!(refusal(&padded), CertificateError::TooLarge(_)));
}

#[test]
fn unknown_extensions_matter_only_when_critical() {
    let pair = p256();
    let with = |arcs: &'static [u64], critical: bool| {
        forge(&pair, Some(proof_for(&pair)), |params| {
            let mut extension = CustomExtension::from_oid_content(arcs, vec![0x05, 0x00]);
            extension.set_criticality(critical);
            params.custom_extensions.push(extension);
        })
    };
    assert!(judge(&with(&[1, 3, 6, 1, 4, 1, 1], false)).is_ok());
    assert_eq!(refusal(&with(&[1, 3, 6, 1, 4, 1, 1], true)), CertificateError::UnknownCritical);
    let critical = forge(&pair, Some(proof_for(&pair)), |params| {
        params.custom_extensions[0].set_criticality(true);
    });
    assert!(judge(&critical).is_ok(), "libp2p's own extension may be critical");
}

#[test]
fn the_key_extension_must_be_there_once_and_readable() {
    let pair = p256();
    assert_eq!(refusal(&forge(&pair, None, |_| {})), CertificateError::KeyExtension);
    let twice = forge(&pair, Some(proof_for(&pair)), |params| {
        let copy = CustomExtension::from_oid_content(KEY_EXTENSION, proof_for(&pair));
        params.custom_extensions.push(copy);
    });
    assert_eq!(refusal(&twice), CertificateError::KeyExtension);
    let valid = proof_for(&pair);
    for length in 0..valid.len() {
        let cut = forge(&pair, Some(valid[..length].to_vec()), |_| {});
        assert_eq!(refusal(&cut), CertificateError::KeyExtension, "cut to {length}");
    }
}

#[test]
fn the_identity_key_must_have_signed_this_certificates_key() {
    let (pair, other) = (p256(), p256());
    let stolen = forge(&pair, Some(proof_for(&other)), |_| {});
    assert_eq!(refusal(&stolen), CertificateError::IdentitySignature);
    let key = identity();
    let spki = pair.subject_public_key_info();
    let foreign = SecretKey::from_bytes(&[8; 32]).sign_libp2p_tls(&spki);
    let claimed = signed_key(&key.public_key().to_protobuf(), &foreign);
    assert_eq!(refusal(&forge(&pair, Some(claimed), |_| {})), CertificateError::IdentitySignature);
}

#[test]
fn unreadable_claims_are_refused() {
    let pair = p256();
    let der = forge(&pair, Some(proof_for(&pair)), |params| {
        let garbage = CustomExtension::from_oid_content(extension::OID, vec![0xff; 40]);
        params.custom_extensions.push(garbage);
    });
    assert_eq!(refusal(&der), CertificateError::Representations);
}

#[test]
fn a_certificate_holds_only_in_its_time() {
    let pair = p256();
    let der = forge(&pair, Some(proof_for(&pair)), |params| {
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    });
    let known = KnownCertificates::default();
    let at = |now| verify(&CertificateDer::from(der.clone()), 0, now, &known);
    assert_eq!(at(NOW).unwrap_err(), CertificateError::NotValidNow);
    assert!(at(1_900_000_000).is_ok());
    assert_eq!(at(2_000_000_000).unwrap_err(), CertificateError::NotValidNow);
    assert_eq!(at(u64::MAX).unwrap_err(), CertificateError::NotValidNow);
}

#[test]
fn no_truncation_and_no_flipped_bit_is_accepted() {
    let der = own(&[]);
    for length in 0..der.len() {
        assert_eq!(refusal(&der[..length]), CertificateError::Malformed, "cut to {length}");
    }
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            assert!(judge(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
}

// Test vectors of https://github.com/libp2p/specs/blob/master/tls/tls.md#test-vectors
const ED25519: &str = concat!(
    "308201ae30820156a0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c",
    "69627032702e696f310a300806035504051301313020170d3735303130313133303030305a180f343039363031",
    "30313133303030305a302031123010060355040a13096c69627032702e696f310a300806035504051301313059",
    "301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca85e27c73c263ba132721bb9d7",
    "a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37e381569ea3",
    "7c307a3078060a2b0601040183a25a0101046a3068042408011220a77f1d92fedb59dddaea5a1c4abd1ac2fbde",
    "7d7b879ed364501809923d7c11b90440d90d2769db992d5e6195dbb08e706b6651e024fda6cfb8846694a43551",
    "9941cac215a8207792e42849cccc6cd8136c6e4bde92a58c5e08cfd4206eb5fe0bf909300a06082a8648ce3d04",
    "03020346003043021f50f6b6c52711a881778718238f650c9fb48943ae6ee6d28427dc6071ae55e702203625f1",
    "16a7a454db9c56986c82a25682f7248ea1cb764d322ea983ed36a31b77",
);
const ECDSA: &str = concat!(
    "308201f63082019da0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c",
    "69627032702e696f310a300806035504051301313020170d3735303130313133303030305a180f343039363031",
    "30313133303030305a302031123010060355040a13096c69627032702e696f310a300806035504051301313059",
    "301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca85e27c73c263ba132721bb9d7",
    "a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37e381569ea3",
    "81c23081bf3081bc060a2b0601040183a25a01010481ad3081aa045f0803125b3059301306072a8648ce3d0201",
    "06082a8648ce3d03010703420004bf30511f909414ebdd3242178fd290f093a551cf75c973155de0bb5a96fedf",
    "6cb5d52da7563e794b512f66e60c7f55ba8a3acf3dd72a801980d205e8a1ad29f2044730450220064ea8124774",
    "caf8f50e57f436aa62350ce652418c019df5d98a3ac666c9386a022100aa59d704a931b5f72fb9222cb6cc51f9",
    "54d04a4e2e5450f8805fe8918f71eaae300a06082a8648ce3d04030203470030440220799395b0b6c1e940a7e4",
    "484705f610ab51ed376f19ff9d7c16757cfbf61b8d4302206205c03fbb0f95205c779be86581d3e31c01871ad5",
    "d1f3435bcf375cb0e5088a",
);
const SECP256K1: &str = concat!(
    "308201ba3082015fa0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c",
    "69627032702e696f310a300806035504051301313020170d3735303130313133303030305a180f343039363031",
    "30313133303030305a302031123010060355040a13096c69627032702e696f310a300806035504051301313059",
    "301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca85e27c73c263ba132721bb9d7",
    "a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37e381569ea3",
    "8184308181307f060a2b0601040183a25a01010471306f0425080212210206dc6968726765b820f050263ececf",
    "7f71e4955892776c0970542efd689d2382044630440220145e15a991961f0d08cd15425bb95ec93f6ffa03c5a3",
    "85eedc34ecf464c7a8ab022026b3109b8a3f40ef833169777eb2aa337cfb6282f188de0666d1bcec2a4690dd30",
    "0a06082a8648ce3d0403020349003046022100e1a217eeef9ec9204b3f774a08b70849646b6a1e6b8b27f93dc0",
    "0ed58545d9fe022100b00dafa549d0f03547878338c7b15e7502888f6d45db387e5ae6b5d46899cef0",
);
const MISMATCH: &str = concat!(
    "308201f73082019da0030201020204499602d2300a06082a8648ce3d040302302031123010060355040a13096c",
    "69627032702e696f310a300806035504051301313020170d3735303130313133303030305a180f343039363031",
    "30313133303030305a302031123010060355040a13096c69627032702e696f310a300806035504051301313059",
    "301306072a8648ce3d020106082a8648ce3d030107034200040c901d423c831ca85e27c73c263ba132721bb9d7",
    "a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55bd37e381569ea3",
    "81c23081bf3081bc060a2b0601040183a25a01010481ad3081aa045f0803125b3059301306072a8648ce3d0201",
    "06082a8648ce3d03010703420004bf30511f909414ebdd3242178fd290f093a551cf75c973155de0bb5a96fedf",
    "6cb5d52da7563e794b512f66e60c7f55ba8a3acf3dd72a801980d205e8a1ad29f204473045022100bb6e03577b",
    "7cc7a3cd1558df0da2b117dfdcc0399bc2504ebe7de6f65cade72802206de96e2a5be9b6202adba24ee0362e49",
    "0641ac45c240db71fe955f2c5cf8df6e300a06082a8648ce3d0403020348003045022100e847f267f43717358f",
    "850355bdcabbefb2cfbf8a3c043b203a14788a092fe8db022027c1d04a2d41fd6b57a7e8b3989e470325de4406",
    "e52e084e34a3fd56eef0d0df",
);
