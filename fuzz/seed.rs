//! Writes the corpora's first inputs: the vectors of docs/protocol/vectors and mutations of them,
//! the smallest for each way in which reading can end, and valid inputs of every other target. The
//! same vectors give the same files; certificates have fresh keys.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::Path,
};

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use netcom_identity::{
    DirectorySuffixes, Enrollment, EntityDescription, EntityDocument, NodeDescription, NodeRecord,
    Representation, Role, SecretKey, Service, Terms, Ticket, UnixTime, certificate,
};
use netcom_session::wire::{DecodeError, Frame, FrameLimits, Hello, decode, kind};
use serde_json::Value;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = fs::read_to_string(root.join("../docs/protocol/vectors/frames.json"))?;
    let file: Value = serde_json::from_str(&file)?;
    let vectors: Vec<Vec<u8>> = ["frames", "accepted", "refused"]
        .iter()
        .flat_map(|section| file[section].as_array().into_iter().flatten())
        .filter_map(|vector| HEXLOWER.decode(vector["hex"].as_str()?.as_bytes()).ok())
        .collect();
    let hellos: Vec<Vec<u8>> = vectors.iter().filter_map(|frame| hello_body(frame)).collect();
    let pairs = vectors.windows(2).map(|pair| pair.concat());
    write(&root.join("corpus/frames"), pairs.chain(mutations(&vectors)), |input| {
        outcome(BytesMut::from(input))
    })?;
    write(&root.join("corpus/hello"), mutations(&hellos), |body| {
        outcome(framed(kind::HELLO, body))
    })?;
    let seeds = [
        identities(),
        netcom_discovery::fuzzing::seeds(),
        netcom_transport::fuzzing::seeds(),
        netcom::fuzzing::seeds(),
        netcom_cli::fuzzing::seeds(),
    ];
    for (target, input) in seeds.into_iter().flatten() {
        keep(&root.join("corpus").join(target), &input)?;
    }
    Ok(())
}

/// Keys, names and proofs.
fn identities() -> Vec<(&'static str, Vec<u8>)> {
    let key = |seed| SecretKey::from_bytes(&[seed; 32]);
    let terms = |left| Terms::new(5, UnixTime(1000), UnixTime(2000)).delegations(left);
    let one = Representation::issue(&key(1), key(2).peer_id(), &terms(2));
    let two = one.delegate(&key(2), key(3).peer_id(), &terms(1)).expect("the terms allow it");
    let three = two.delegate(&key(3), key(4).peer_id(), &terms(0)).expect("the terms allow it");
    let mut seeds = Vec::new();
    for (chain, node) in [(&one, 2), (&two, 3), (&three, 4)] {
        seeds.push(("representation", chain.encode()));
        let claims = certificate::encode(&[chain.clone(), chain.clone()]).expect("they fit");
        seeds.push(("claims", claims));
        let mut description = NodeDescription::new(7, UnixTime(2000));
        description.addresses.push("/ip4/192.0.2.1/tcp/4001".parse().expect("an address"));
        description.addresses.push("/dns4/example.org/udp/1/quic-v1".parse().expect("an address"));
        description.role = Role::Server;
        description.services.push(Service::new("files", ["1", "2"]).expect("a service"));
        description.metadata.insert("region", "north").expect("within its bounds");
        description.representations.push(chain.clone());
        let record = NodeRecord::sign(&key(node), description).expect("within its bounds");
        seeds.push(("record", record.encode()));
        let addresses = record.addresses().to_vec();
        let ticket = Ticket::new(*record.peer_id(), addresses).expect("within its bounds");
        let ticket = ticket.with_netid(chain.netid());
        seeds.push(("ticket", ticket.to_string().into_bytes()));
        seeds.push(("target", ticket.to_string().into_bytes()));
        for address in record.addresses() {
            seeds.push(("address", address.to_string().into_bytes()));
            seeds.push(("address", address.to_vec()));
            seeds.push(("target", address.to_string().into_bytes()));
        }
        let mut entity = EntityDescription::new(7, UnixTime(2000));
        entity.names = vec!["example.org".to_owned(), "alice.netcom".to_owned()];
        entity.hints = record.addresses().to_vec();
        entity.successor = Some(key(node - 1).net_id());
        entity.metadata.insert("region", "north").expect("within its bounds");
        let document = EntityDocument::sign(&key(node), entity).expect("within its bounds");
        seeds.push(("entity", document.encode()));
        let asked = (node > 2).then(|| chain.netid());
        let request = Enrollment::sign(&key(node), asked, UnixTime(1000), "rack 3");
        seeds.push(("enrollment", request.expect("a short label").encode()));
        let (public, netid, peer) = (key(node).public_key(), chain.netid(), *record.peer_id());
        seeds.extend(
            [public.to_protobuf(), netid.to_bytes(), peer.to_bytes()].map(|it| ("key", it)),
        );
        seeds.extend([netid.to_string(), peer.to_string()].map(|it| ("target", it.into_bytes())));
    }
    let hashed = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
    for text in [hashed, "alice", "alice.netcom", "Example.ORG.", "corp\nbob.corp", "printer.local"]
    {
        seeds.push(("target", text.into()));
    }
    let suffixes: Vec<_> = DirectorySuffixes::default().iter().map(str::to_owned).collect();
    seeds.push(("target", suffixes.concat().into_bytes()));
    seeds
}

/// Each input, each of its truncations, and the input with each of its first bytes changed.
fn mutations(inputs: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> {
    inputs.iter().flat_map(|input| {
        let cuts = (0..input.len().min(MUTATED)).map(|cut| input[..cut].to_vec());
        let changes = (0..input.len().min(MUTATED)).flat_map(move |at| {
            BYTES.iter().map(move |byte| {
                let mut changed = input.clone();
                changed[at] = *byte;
                changed
            })
        });
        [input.clone()].into_iter().chain(cuts).chain(changes)
    })
}

/// Writes the smallest input of each outcome.
fn write(
    folder: &Path,
    inputs: impl Iterator<Item = Vec<u8>>,
    outcome: impl Fn(&[u8]) -> String,
) -> io::Result<()> {
    let mut smallest = BTreeMap::<String, Vec<u8>>::new();
    for input in inputs.filter(|input| input.len() <= MAX_INPUT) {
        let best = smallest.entry(outcome(&input)).or_insert_with(|| input.clone());
        if input.len() < best.len() {
            *best = input;
        }
    }
    smallest.values().try_for_each(|input| keep(folder, input))
}

/// Writes an input under a name made of it.
fn keep(folder: &Path, input: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(input);
    fs::write(folder.join(format!("{:016x}", hasher.finish())), input)
}

/// What reading the input comes to, without the numbers in it.
fn outcome(mut buf: BytesMut) -> String {
    let mut outcome = String::new();
    loop {
        match decode(&mut buf, FrameLimits::TLS) {
            Ok(Some(frame)) => outcome += &describe(&frame),
            Ok(None) => return outcome + if buf.is_empty() { "end" } else { "incomplete" },
            Err(DecodeError::TooLarge { kind, .. }) => return format!("{outcome}large {kind}"),
            Err(DecodeError::UnknownEntry { .. }) => return outcome + "unknown entry",
            Err(error) => return format!("{outcome}{error:?}"),
        }
    }
}

fn describe(frame: &Frame) -> String {
    match frame {
        Frame::Data(data) => {
            let class = data.open.as_ref().map(|open| (open.class, open.protocol.is_empty()));
            let ends = (data.fin, data.fin_errors, data.bytes.is_empty(), data.offset == 0);
            format!("data {:?} {class:?} {ends:?};", data.flow)
        }
        Frame::Hello(hello) => describe_hello(hello),
        other => {
            let text = format!("{other:?};");
            text.chars().filter(|c| !c.is_ascii_digit()).collect()
        }
    }
}

fn describe_hello(hello: &Hello) -> String {
    let purpose = format!("{:?}", hello.purpose);
    let lengths = (hello.features.len(), hello.finals.len());
    let optional = (hello.supersedes.is_some(), hello.session.is_some());
    format!("hello {} {optional:?} {lengths:?};", purpose.split('{').next().unwrap_or_default())
}

fn hello_body(frame: &[u8]) -> Option<Vec<u8>> {
    let (&kind, rest) = frame.split_first()?;
    let length = 1usize << (rest.first()? >> 6);
    (kind == kind::HELLO).then(|| rest.get(length..).map(<[u8]>::to_vec))?
}

fn framed(kind: u8, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::from(&[kind][..]);
    frame.extend_from_slice(&(3 << 62 | body.len() as u64).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// How many bytes of an input are cut and changed.
const MUTATED: usize = 80;
/// What they are changed to.
const BYTES: &[u8] = &[0, 1, 2, 4, 5, 8, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff];
/// The longest input kept.
const MAX_INPUT: usize = 4096;
