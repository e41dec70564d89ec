//! Directories: which ones a node asks, and what is signed for them and by them.

use std::{
    fs::File,
    io::Read as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use netcom::{
    DirectoryEntry, EntityDescription, EntityDocument, SecretKey, UnixTime,
    names::{Answer, Directories, Directory, DirectoryAnswer},
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    error::{bad_argument, bad_name},
    identity::{NetId, entity, target},
    number::Number,
};

/// What an entity says about itself, checked.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Document {
    /// Who signed it.
    #[pyo3(get)]
    netid: Py<NetId>,
    /// The names that lead to the entity, the primary one first.
    #[pyo3(get)]
    names: Vec<String>,
    /// Later documents have higher ones.
    #[pyo3(get)]
    sequence: u64,
    /// Seconds since 1970; invalid from this second on.
    #[pyo3(get)]
    expires: u64,
    answer: Answer,
}

#[pymethods]
impl Document {
    /// Whether it takes the place of what `netid` said with the number `sequence`: the same key
    /// says it with that number or a higher one, or one that the key before named its successor.
    fn replaces(
        &self,
        py: Python<'_>,
        netid: &Bound<'_, PyAny>,
        sequence: Number<u64>,
    ) -> PyResult<bool> {
        let netid = entity(&target(py, netid)?);
        let netid = netid.ok_or_else(|| bad_name(py, &"who said something is a NetID"))?;
        Ok(self.answer.replaces(&netid, sequence.0))
    }
}

/// Signs that names lead to the entity whose secret `netid` holds, for so many days, and returns
/// the JSON that web servers and directories take. Its number is by default the time.
#[pyfunction]
pub(crate) fn sign_document(
    py: Python<'_>,
    netid: &NetId,
    names: Vec<String>,
    days: Number<u32>,
    hints: Vec<String>,
    successor: Option<&Bound<'_, PyAny>>,
    sequence: Option<Number<u64>>,
) -> PyResult<String> {
    let now = now();
    let expires = now.plus_seconds(u64::from(days.0) * 24 * 3600);
    // By time, so that a later one replaces it.
    let mut description = EntityDescription::new(sequence.map_or(now.0, |it| it.0), expires);
    description.names = names;
    for hint in hints {
        description.hints.push(hint.parse().map_err(|error| bad_argument(py, &error, ADDRESS))?);
    }
    if let Some(successor) = successor {
        let successor = entity(&target(py, successor)?);
        description.successor =
            Some(successor.ok_or_else(|| bad_name(py, &"a successor is a NetID"))?);
    }
    let document = EntityDocument::sign(secret(py, netid)?, description);
    let document = document.map_err(|error| bad_argument(py, &error, DESCRIPTION))?;
    Ok(Answer { document, earlier: Vec::new() }.to_json())
}

/// Checks what `sign_document` returned: the signature, and that it is valid now.
#[pyfunction]
pub(crate) fn read_document(py: Python<'_>, text: &str) -> PyResult<Document> {
    let answer = Answer::from_json(text.as_bytes(), now());
    Document::new(py, answer.map_err(|error| bad_argument(py, &error, ANEW))?)
}

/// Signs, with the key of a directory, that a name leads to the entity of a document, for so many
/// seconds, and returns the JSON that the directory's server gives for the name.
#[pyfunction]
pub(crate) fn sign_entry(
    py: Python<'_>,
    directory: &NetId,
    name: &str,
    document: &str,
    seconds: Number<u64>,
) -> PyResult<String> {
    let now = now();
    let answer = Answer::from_json(document.as_bytes(), now);
    let Answer { document, earlier } = answer.map_err(|error| bad_argument(py, &error, ANEW))?;
    let (key, expires) = (secret(py, directory)?, now.plus_seconds(seconds.0));
    // By time, so that a directory which lost its memory counts on.
    let entry = DirectoryEntry::sign(key, name, document, now.0, now, expires);
    let entry = entry.map_err(|error| bad_name(py, &error))?;
    Ok(DirectoryAnswer { entry, earlier }.to_json())
}

/// Checks what a directory gave for a name, as of a second since 1970, by default now.
#[pyfunction]
pub(crate) fn read_entry(
    py: Python<'_>,
    directory: &Bound<'_, PyAny>,
    name: &str,
    answer: &str,
    at: Option<Number<u64>>,
) -> PyResult<Document> {
    let directory = entity(&target(py, directory)?);
    let directory = directory.ok_or_else(|| bad_name(py, &"a directory's key is a NetID"))?;
    let answer = DirectoryAnswer::from_json(answer.as_bytes(), &directory);
    let answer = answer.map_err(|error| bad_argument(py, &error, ANEW))?;
    let verified = answer.entry.verify(name, at.map_or_else(now, |at| UnixTime(at.0)));
    verified.map_err(|error| bad_argument(py, &error, ANEW))?;
    let DirectoryAnswer { entry, earlier } = answer;
    Document::new(py, Answer { document: entry.document().clone(), earlier })
}

impl Document {
    fn new(py: Python<'_>, answer: Answer) -> PyResult<Self> {
        let description = answer.document.description();
        Ok(Self {
            netid: Py::new(py, NetId::of(*answer.document.netid()))?,
            names: description.names.clone(),
            sequence: description.sequence,
            expires: description.expires.0,
            answer,
        })
    }
}

/// Reads `{suffix: (url, key)}` or `{suffix: (url, key, path of a certificate authority)}`.
pub(crate) fn directories(py: Python<'_>, setting: &Bound<'_, PyAny>) -> PyResult<Directories> {
    let mut directories = Directories::default();
    for (suffix, value) in setting.cast::<PyDict>()? {
        let parts = value.try_iter()?.take(4).collect::<PyResult<Vec<_>>>()?;
        let (url, key, authority) = match &parts[..] {
            [url, key] => (url, key, None),
            [url, key, authority] => (url, key, Some(authority)),
            _ => {
                let what = "a directory is a url and a NetID, and the path of a certificate \
                            authority if it has one of its own";
                return Err(bad_argument(py, &what, DIRECTORY));
            }
        };
        let key = entity(&target(py, key)?);
        let key = key.ok_or_else(|| bad_name(py, &"a directory's key is a NetID"))?;
        let directory = Directory::new(suffix.extract()?, url.extract()?, key);
        let mut directory = directory.map_err(|error| bad_argument(py, &error, DIRECTORY))?;
        if let Some(path) = authority {
            let mut pem = Vec::new();
            let file = File::open(path.extract::<PathBuf>()?)?;
            file.take(MAX_AUTHORITY).read_to_end(&mut pem)?;
            let trusted = directory.authority(&pem);
            directory = trusted.map_err(|error| bad_argument(py, &error, AUTHORITY))?;
        }
        let with = directories.with(directory);
        directories = with.map_err(|error| bad_argument(py, &error, DIRECTORY))?;
    }
    Ok(directories)
}

fn secret<'a>(py: Python<'_>, netid: &'a NetId) -> PyResult<&'a SecretKey> {
    netid.secret().ok_or_else(|| {
        let what = format!("the secret of {} is not known here", netid.target());
        bad_argument(py, &what, "give the NetID that NetID.generate() or from_secret(…) made")
    })
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.unwrap_or_default().as_secs())
}

/// What is longer is cut, and no list of certificates then.
const MAX_AUTHORITY: u64 = 1 << 20;

const ADDRESS: &str = "a hint is an address, such as /dns4/example.org/tcp/4001";
const DESCRIPTION: &str = "a document has a few names with dots, and ends some days from now";
const ANEW: &str = "ask whoever signed it for one that is valid now";
const DIRECTORY: &str = "directories={\"netcom\": (\"https://…\", \"n1…\")}";
const AUTHORITY: &str = "the third part is the path of a certificate authority as PEM";
