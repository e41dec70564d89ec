//! A node in a process of its own, whose memory, processor time and log can be read.

use std::{
    any::type_name,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use netcom::{Code, Events, IncomingStream, Node, NodeBuilder, NodeEvent, PeerId};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{QUIC, TCP, quiet_node};

pub(crate) const MIB: u64 = 1 << 20;

/// A node that is attacked; it is killed with this.
pub(crate) struct Victim {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    folder: TempDir,
    pub(crate) peer: PeerId,
    pub(crate) tcp: SocketAddr,
    pub(crate) quic: SocketAddr,
}

/// What a victim tells of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tables {
    pub(crate) sessions: u64,
    pub(crate) links: u64,
    pub(crate) streams: u64,
    pub(crate) half_open: u64,
    pub(crate) panics: u64,
}

impl Victim {
    /// Runs the calling test once more in a process of its own, where it serves at default limits
    /// and gets `None` at the end.
    pub(crate) fn of<Test: Fn()>(test: Test) -> Option<Self> {
        Self::with(test, |builder| builder)
    }

    /// The same with other limits.
    pub(crate) fn with<Test: Fn()>(
        _test: Test,
        change: impl FnOnce(NodeBuilder) -> NodeBuilder + Send,
    ) -> Option<Self> {
        if std::env::var_os(ROLE).is_some() {
            // On a thread of its own, since a test may have a runtime on its own one.
            std::thread::scope(|scope| drop(scope.spawn(|| serve(change))));
            return None;
        }
        let (_, name) = type_name::<Test>().split_once("::").expect("a path");
        let folder = tempfile::tempdir().expect("a folder");
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture"])
            .env(ROLE, "victim")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("a process");
        let input = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let ready = next(&mut lines, "READY");
        let [peer, tcp, quic] = &ready[..] else { panic!("{ready:?}") };
        let peer = peer.parse().expect("a PeerId");
        let (tcp, quic) = (tcp.parse().expect("a socket"), quic.parse().expect("a socket"));
        Some(Self { child, input, lines, folder, peer, tcp, quic })
    }

    /// Bytes of memory it uses now, without the pages of its own program, which come as they are
    /// needed and, where the program was not in memory, many at a time.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:").saturating_sub(self.status("RssFile:"))
    }

    /// The most it used since [`Self::forget_peak`].
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:").saturating_sub(self.status("RssFile:"))
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").expect("one's own child");
    }

    /// Bytes of addresses it has now, those it reserved and never used included.
    pub(crate) fn address_space(&self) -> u64 {
        self.status("VmSize:")
    }

    /// The most it ever had, be it for a moment.
    pub(crate) fn most_address_space(&self) -> u64 {
        self.status("VmPeak:")
    }

    /// Datagrams for which its socket had no room since it was made.
    pub(crate) fn dropped(&self) -> u64 {
        let SocketAddr::V4(quic) = self.quic else { panic!("{} is not IPv4", self.quic) };
        // proc_pid_net(5): addresses as the machine has them in memory, in hexadecimal.
        let address = u32::from_ne_bytes(quic.ip().octets());
        let local = format!("{address:08X}:{:04X}", quic.port());
        let table = fs::read_to_string(self.proc("net/udp")).expect("it runs");
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line.get(1) == Some(&&*local)).expect("its socket");
        line.last().expect("a column of drops").parse().expect("a number")
    }

    /// Processor time it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("fields");
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.map(|ticks| ticks.expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// How many file descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("it runs").count()
    }

    /// Everything it logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).expect("a log"))
            .into_owned()
    }

    pub(crate) fn tables(&mut self) -> Tables {
        writeln!(self.input, "tables").expect("it reads");
        let told = next(&mut self.lines, "TABLES");
        let mut numbers = told.iter().map(|number| number.parse().expect("a number"));
        let mut number = || numbers.next().expect("five numbers");
        Tables {
            sessions: number(),
            links: number(),
            streams: number(),
            half_open: number(),
            panics: number(),
        }
    }

    /// The code with which the one session that there was has ended.
    pub(crate) fn end(&mut self) -> Code {
        let began = std::time::Instant::now();
        loop {
            match self.ends()[..] {
                [code] => return code,
                [] => assert!(began.elapsed() < super::PATIENCE, "no session has ended"),
                ref more => panic!("{more:?}"),
            }
        }
    }

    /// The codes with which sessions have ended since it was asked last.
    pub(crate) fn ends(&mut self) -> Vec<Code> {
        writeln!(self.input, "ends").expect("it reads");
        let codes = next(&mut self.lines, "ENDS");
        codes.iter().map(|code| Code(code.parse().expect("a number"))).collect()
    }

    /// Asks again until its tables are as they should be.
    pub(crate) fn settles(&mut self, is_settled: impl Fn(Tables) -> bool) -> Tables {
        let began = std::time::Instant::now();
        loop {
            let tables = self.tables();
            if is_settled(tables) {
                return tables;
            }
            assert!(began.elapsed() < super::PATIENCE, "{tables:?}");
        }
    }

    /// Whether it still serves peers, and has not panicked.
    pub(crate) fn is_well(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(self.serves());
        assert_eq!(self.tables().panics, 0);
    }

    pub(crate) async fn serves(&self) {
        let node = quiet_node(&[]).build().await.expect("a node");
        for address in [self.tcp_address(), self.quic_address()] {
            let target: netcom::Target = address.parse().expect("an address");
            let connection = super::within(node.connect(target)).await.expect("it is reached");
            let answer = super::within(connection.request("still there?")).await;
            assert_eq!(answer.expect("it answers"), "still there?");
            connection.close(0, "").await;
        }
    }

    /// Sends a long request over QUIC and takes its long answer.
    pub(crate) async fn echoes(&self, size: u64) {
        let node = quiet_node(&[]).build().await.expect("a node");
        let target: netcom::Target = self.quic_address().parse().expect("an address");
        let connection = super::within(node.connect(target)).await.expect("it is reached");
        let size = usize::try_from(size).expect("it fits");
        let answer = super::within(connection.request(vec![7; size])).await;
        assert_eq!(answer.expect("it answers").len(), size);
        connection.close(0, "").await;
    }

    pub(crate) fn tcp_address(&self) -> String {
        format!("/ip4/{}/tcp/{}/p2p/{}", self.tcp.ip(), self.tcp.port(), self.peer)
    }

    pub(crate) fn quic_address(&self) -> String {
        format!("/ip4/{}/udp/{}/quic-v1/p2p/{}", self.quic.ip(), self.quic.port(), self.peer)
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1024
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const ROLE: &str = "NETCOM_TEST_ROLE";

/// The next line that begins with a word, without it.
fn next(lines: &mut impl BufRead, word: &str) -> Vec<String> {
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).expect("it speaks"), 0, "the victim is gone");
        if let Some(rest) = line.strip_prefix(word) {
            return rest.split_whitespace().map(str::to_owned).collect();
        }
    }
}

/// Serves until the input ends.
fn serve(change: impl FnOnce(NodeBuilder) -> NodeBuilder) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("the first one");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let node = runtime.block_on(change(quiet_node(&[TCP, QUIC])).build()).expect("a node");
    node.on_request(|request| async move { Ok(request.into_body()) });
    let ends = Arc::default();
    runtime.spawn(note_ends(node.events(), Arc::clone(&ends)));
    runtime.spawn(read_everything(node.clone()));
    let addresses: Vec<String> = node.listen_addresses().iter().map(ToString::to_string).collect();
    let sockets = addresses.iter().map(|address| {
        let parts: Vec<&str> = address.split('/').collect();
        format!("{}:{}", parts[2], parts[4])
    });
    let sockets: Vec<String> = sockets.collect();
    say(&format!("READY {} {}", node.peer_id(), sockets.join(" ")));
    for line in std::io::stdin().lines() {
        match &*line.expect("a line") {
            "tables" => {
                let commander = node.commander();
                let counters = commander.counters();
                say(&format!(
                    "TABLES {} {} {} {} {}",
                    commander.sessions().len(),
                    commander.links().len(),
                    commander.streams().len(),
                    counters.listeners.half_open,
                    counters.panics,
                ));
            }
            _ => {
                let ends: Vec<String> =
                    ends.lock().drain(..).map(|code| code.to_string()).collect();
                say(&format!("ENDS {}", ends.join(" ")));
            }
        }
    }
    runtime.shutdown_background();
}

/// Notes how sessions end, those too that are over before anybody takes their connection.
async fn note_ends(mut events: Events, ends: Arc<Mutex<Vec<u64>>>) {
    while let Some(event) = events.next().await {
        if let NodeEvent::Disconnected { code, .. } = event {
            ends.lock().push(code.0);
        }
    }
}

/// Takes all streams of all peers and reads them to their ends.
async fn read_everything(node: Node) {
    let mut incoming = node.incoming();
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let mut streams = connection.incoming_streams();
            while let Some(stream) = streams.next().await {
                tokio::spawn(read(stream));
            }
        });
    }
}

async fn read(stream: IncomingStream) {
    match stream {
        IncomingStream::Messages(mut messages) => while let Ok(Some(_)) = messages.recv().await {},
        other => {
            let Some(mut bytes) = other.into_bytes() else { return };
            while let Ok(Some(_)) = bytes.read_chunk(1 << 16).await {}
        }
    }
}

/// Talks past the test harness, which would hold it back.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").expect("somebody reads");
    out.flush().expect("somebody reads");
}
