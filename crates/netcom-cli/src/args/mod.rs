//! The command line. Uses clap alone, because the build reads it too, for man pages and
//! completions.

mod nodes;
mod transfers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use self::{
    nodes::{
        Access, Doctor, Explain, Expose, Forward, Listen, Perf, PerfLink, Ping, Pipe, Request,
        Serve,
    },
    transfers::{Receive, Send},
};

/// Connect programs by whom they want to talk to, never by where they are.
#[derive(Debug, Parser)]
#[command(name = "netcom", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Folder of this identity, its names and its settings
    #[arg(long, global = true, env = "NETCOM_DATA_DIR", value_name = "DIR")]
    #[arg(value_hint = ValueHint::DirPath, hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Answer with one JSON object, or JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How far to look for others and to show oneself: off, host, lan or global
    #[arg(long, global = true, value_name = "SCOPE")]
    pub(crate) discovery: Option<String>,
    /// How many links to use where several ways lead to a node: auto, single, standby, stripe or
    /// mirror
    #[arg(long, global = true, value_name = "POLICY")]
    pub(crate) links: Option<String>,
    /// Say no more than needed
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Log to stderr; twice for more (NETCOM_LOG takes a filter)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log to this file in place of stderr, at least as much as -v does
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) log_file: Option<PathBuf>,
    /// Write the keys of this run's links to the file that SSLKEYLOGFILE names, for packet
    /// analysers: whoever reads it can read everything those links carry
    #[arg(long, global = true)]
    pub(crate) key_log: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, show, save and restore the identity
    #[command(subcommand)]
    Id(Id),
    /// Keep own names for others
    #[command(subcommand)]
    Names(Names),
    /// Run a node that answers ping, echo and perf and may take files
    Listen(Listen),
    /// Ask the running node how it is
    Status,
    /// Show or close the running node's sessions
    #[command(subcommand)]
    Sessions(Sessions),
    /// Measure the way to a node, one reply after the other
    Ping(Ping),
    /// Tell whom a target means, where it was found and how it is reached, or why not
    Explain(Explain),
    /// Look for what keeps nodes from working here, and tell what helps
    Doctor(Doctor),
    /// Send a request and print the answer
    Request(Request),
    /// Join stdin and stdout with those of another pipe
    Pipe(Pipe),
    /// Send a file, a folder or stdin
    Send(Send),
    /// Take files
    Recv(Receive),
    /// Lead a local TCP port to a port that a node exposes
    Forward(Forward),
    /// Let others reach a TCP port of this host
    Expose(Expose),
    /// Measure throughput and round trips
    Perf(Perf),
    /// Show the settings
    #[command(subcommand)]
    Config(Config),
    /// Show what this program does, with three nodes on this host
    Demo(Demo),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
    /// One node of the demonstration
    #[command(hide = true)]
    DemoNode(DemoNode),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Id {
    /// Make the identity of this data directory
    New,
    /// Show the identity
    Show,
    /// Write the key that is you, encrypted with a passphrase
    Export {
        /// The file to make
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Ask somebody to let this machine speak for them: prints a request to be signed
    Enroll {
        /// Whom: a NetID, or leave it to whoever signs
        #[arg(value_name = "NETID")]
        whom: Option<String>,
        /// What people call this machine
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Answer a request of `enroll`: prints a proof for that machine
    Sign {
        /// The request: a file, or - for stdin
        #[arg(value_name = "REQUEST", value_hint = ValueHint::FilePath)]
        request: PathBuf,
        /// How long it may speak for this identity; short is safer
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
        /// How many further nodes in a row it may let in; its own programs need one
        #[arg(long, value_name = "COUNT", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u8).range(0..=2))]
        delegations: u8,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Take the proof that `sign` printed
    Accept {
        /// The proof: a file, or - for stdin
        #[arg(value_name = "PROOF", value_hint = ValueHint::FilePath)]
        proof: PathBuf,
        /// Give up an earlier proof for somebody else
        #[arg(long)]
        replace: bool,
    },
    /// Let another device in by a code: shows the code and waits for it
    Invite {
        /// How long the device may speak for this identity
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
        /// How many further nodes in a row it may let in; its own programs need one
        #[arg(long, value_name = "COUNT", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u8).range(0..=2))]
        delegations: u8,
        /// How long the code is good for
        #[arg(long, value_name = "MINUTES", default_value_t = 10)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=60))]
        minutes: u32,
        /// Draw the code for a camera, too, even where stderr is no terminal; not with --quiet or
        /// --json
        #[arg(long, overrides_with = "no_qr")]
        qr: bool,
        /// Do not draw it
        #[arg(long, overrides_with = "qr")]
        no_qr: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Be let in by the device that shows a code, which is asked for or read from stdin
    Join {
        /// What people call this machine
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List the machines that were let in from here
    Devices,
    /// Take back that a machine speaks for this identity, as when it is lost
    Revoke {
        /// The machine's PeerId
        peer: String,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Give this identity a new key, which the old one names as its successor
    Rotate {
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Sign what makes names lead to this identity, for a domain or for directories
    Publish {
        /// The names: at most one domain, which comes first, and names of directories
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// How long it holds
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
        /// Where a node of the identity is reached: a multiaddr ending in /p2p; repeatable
        #[arg(long, value_name = "ADDRESS")]
        hint: Vec<String>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Read a key that `export` wrote into a data directory without one
    Import {
        /// The file to read
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

/// Where a passphrase comes from; without any of these it is asked for.
#[derive(Args, Debug)]
pub(crate) struct Passphrase {
    /// Read the passphrase from the first line of this file
    #[arg(long, env = "NETCOM_PASSPHRASE_FILE", value_name = "FILE", hide_env_values = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Read the passphrase from the first line of this file descriptor
    #[arg(long, value_name = "FD", conflicts_with = "passphrase_file")]
    pub(crate) passphrase_fd: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Names {
    /// Give somebody a name
    Add {
        /// The name
        name: String,
        /// Whom it means: a NetID, PeerId, ticket or multiaddr ending in /p2p
        target: String,
        /// Replace what the name means
        #[arg(long)]
        replace: bool,
    },
    /// List the names
    Ls,
    /// Remove a name
    Rm {
        /// The name
        name: String,
    },
    /// Let a name with dots lead to a key because you know by other means that it is right
    Trust {
        /// The domain, or the name in a directory
        name: String,
        /// The key: a NetID
        netid: String,
    },
    /// Forget which key a name with dots led to: the next answer counts as the first
    Forget {
        /// The domain, or the name in a directory
        name: String,
    },
    /// Show whom a name means
    Resolve {
        /// The name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List the sessions
    Ls,
    /// Close the sessions with a node
    Close {
        /// The node's PeerId
        peer: String,
    },
    /// Limit how fast the running node sends to another one
    Limit {
        /// The node's PeerId
        peer: String,
        /// Bytes a second, such as 500k or 5M, or off
        rate: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show every setting
    Show {
        /// Tell where each setting comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        serve: Serve,
        #[command(flatten)]
        access: Access,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// Size of the file, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u64).range(8..=65536))]
    pub(crate) size: u64,
}

#[derive(Args, Debug)]
pub(crate) struct DemoNode {
    /// Folder for received files
    #[arg(long)]
    pub(crate) receive: PathBuf,
    /// Folder in which nodes of this host find each other
    #[arg(long)]
    pub(crate) registry: PathBuf,
    /// UDP port of multicast DNS on loopback
    #[arg(long)]
    pub(crate) mdns_port: u16,
    /// The only one who may use the node
    #[arg(long)]
    pub(crate) visitor: String,
    /// Name in the report
    #[arg(long)]
    pub(crate) label: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

const EXIT_CODES: &str = "\
TARGET is a NetID, a PeerId, a petname, a domain, a name in a directory such as alice.netcom, a
ticket or a multiaddr that ends in /p2p.

Exit codes: 0 done, 1 failure, 2 usage, 3 name not found, 4 unreachable or timeout, 5 denied.";
