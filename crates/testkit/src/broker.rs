//! One broker process and its data.

use crate::installation::Installation;
use crate::listeners::{Listener, Listeners};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tempfile::TempDir;

/// How long a start or a stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Any identifier serves: the data live as long as the test.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// A broker for tests. It is stopped, and its data removed, when it is dropped or its process ends.
pub struct Broker {
    brokers: String,
    /// None where `VITALSIGN_TEST_BROKERS` names a broker that is not ours.
    own: Option<Own>,
}

struct Own {
    installation: Installation,
    folder: TempDir,
    running: Option<Running>,
    listeners: Option<Listeners>,
    /// Where the cluster is steered, for nodes that join it.
    controller: u16,
}

struct Running {
    java: Child,
    guard: Guard,
    /// Locked only because a shared broker has to be `Sync`.
    output: Mutex<Receiver<Output>>,
}

/// What the broker's standard output tells.
enum Output {
    /// It answers from now on.
    Started,
    /// The broker has ended; these were its first lines.
    Ended(String),
}

/// A shell that kills the broker and removes its data once its standard input ends, which is when we have
/// ended, in whatever way.
struct Guard {
    shell: Child,
    _input: Option<ChildStdin>,
}

impl Broker {
    /// Starts a broker of its own and waits until it answers.
    ///
    /// # Panics
    /// Where Java or Maven is missing, or the broker does not start. The message names the remedy.
    #[allow(clippy::new_without_default)]
    pub fn start() -> Broker {
        if let Some(brokers) = std::env::var("VITALSIGN_TEST_BROKERS").ok().filter(|brokers| !brokers.is_empty()) {
            return Broker { brokers, own: None };
        }
        Broker::begin(1, None, false)
    }

    /// Starts a broker of its own, in any case, that also answers with TLS and SASL.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn start_secured() -> Broker {
        Broker::begin(1, None, true)
    }

    /// Starts another broker of the same cluster. It steers nothing: the cluster lives on when it is killed.
    ///
    /// # Panics
    /// As [`Broker::start`], and for a broker that is not ours.
    pub fn start_beside(&self) -> Broker {
        let own = self.own.as_ref().expect("only a broker that the test has started can be joined");
        Broker::begin(2, Some(own.controller), false)
    }

    fn begin(node: u32, joined: Option<u16>, secured: bool) -> Broker {
        let installation = Installation::ready();
        let folder = TempDir::with_prefix("vitalsign-kafka-").expect("a temporary folder can be made");
        let [port, controller, tls, sasl, sasl_tls] = free_ports();
        let listeners = secured.then(|| Listeners::new(folder.path(), tls, sasl, sasl_tls));
        let (controller, steers) = (joined.unwrap_or(controller), joined.is_none());
        let properties = folder.path().join("server.properties");
        let text = server_properties(folder.path(), node, port, controller, steers, listeners.as_ref());
        std::fs::write(&properties, text).expect("the broker's settings can be written");
        let mut format = installation.java();
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(&properties);
        if steers {
            format.arg("--standalone");
        }
        format.args(listeners.iter().flat_map(Listeners::format_arguments));
        let formatted = format.output().unwrap_or_else(|e| panic!("{}", no_java(&e)));
        assert!(
            formatted.status.success(),
            "the broker's folder could not be formatted\n{}{}",
            String::from_utf8_lossy(&formatted.stdout),
            String::from_utf8_lossy(&formatted.stderr)
        );
        let running = Some(run(&installation, folder.path()));
        let brokers = format!("127.0.0.1:{port}");
        Broker { brokers, own: Some(Own { installation, folder, running, listeners, controller }) }
    }

    /// Where it answers: host and port, as a client wants them.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Where a secured broker answers so.
    ///
    /// # Panics
    /// For a broker that is not secured.
    pub fn secured(&self, listener: Listener) -> String {
        self.listeners().address(listener)
    }

    /// The certificate in PEM that a client of a secured broker has to trust.
    ///
    /// # Panics
    /// For a broker that is not secured.
    pub fn certificate(&self) -> PathBuf {
        self.listeners().certificate()
    }

    fn listeners(&self) -> &Listeners {
        let listeners = self.own.as_ref().and_then(|own| own.listeners.as_ref());
        listeners.expect("only a broker from `start_secured` has these listeners")
    }

    /// Whether tests may stop it: not, where `VITALSIGN_TEST_BROKERS` names it.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Stops it in an orderly way. Its data stay.
    pub fn stop(&mut self) {
        if let Some(running) = self.own_mut().running.take() {
            running.stop();
        }
    }

    /// Kills it at once, as a power failure would. Its data stay.
    pub fn kill(&mut self) {
        if let Some(running) = self.own_mut().running.take() {
            running.kill();
        }
    }

    /// Starts it again, on the same port and data, after `stop` or `kill`.
    pub fn restart(&mut self) {
        self.stop();
        let own = self.own_mut();
        own.running = Some(run(&own.installation, own.folder.path()));
    }

    fn own_mut(&mut self) -> &mut Own {
        self.own.as_mut().expect("only a broker that the test has started can be stopped")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.own.as_mut().and_then(|own| own.running.take()) {
            running.stop();
        }
    }
}

impl Running {
    /// SIGTERM, and SIGKILL only where that was not enough.
    fn stop(mut self) {
        self.guard.dismiss();
        let id = self.java.id().to_string();
        // The shell's own `kill`: the command of that name is not on every machine.
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]).status();
        if asked.is_ok_and(|status| status.success()) {
            // Ends with the output's end, or when patience does.
            let _ = self.output.get_mut().map(|output| output.recv_timeout(PATIENCE));
        }
        self.kill();
    }

    fn kill(mut self) {
        self.guard.dismiss();
        // An error says that the process has ended already.
        let _ = self.java.kill();
        let _ = self.java.wait();
    }
}

impl Guard {
    fn over(java: &Child, folder: &Path) -> Guard {
        let mut shell = Command::new("sh")
            .args([
                "-c",
                "cat >/dev/null; kill -KILL \"$1\"; rm -rf \"$2\" || { sleep 1; rm -rf \"$2\"; }",
                "sh",
                &java.id().to_string(),
            ])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started");
        let input = shell.stdin.take();
        Guard { shell, _input: input }
    }

    /// Ends the guard before the process that it guards: its id may be another's afterwards.
    fn dismiss(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn run(installation: &Installation, folder: &Path) -> Running {
    let mut java = installation
        .java()
        .arg("kafka.Kafka")
        .arg(folder.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{}", no_java(&e)));
    let guard = Guard::over(&java, folder);
    let output = java.stdout.take().expect("the broker's output is piped");
    let (tell, hear) = mpsc::channel();
    // Reads to the end: a broker whose output nobody takes stands still.
    std::thread::spawn(move || {
        let mut said = Vec::new();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("Kafka Server started") {
                let _ = tell.send(Output::Started);
            }
            if said.len() < 200 {
                said.push(line);
            }
        }
        let _ = tell.send(Output::Ended(said.join("\n")));
    });
    let first = hear.recv_timeout(PATIENCE);
    let running = Running { java, guard, output: Mutex::new(hear) };
    match first {
        Ok(Output::Started) => running,
        Ok(Output::Ended(said)) => {
            running.kill();
            panic!("the broker ended instead of starting\n{said}")
        }
        Err(_) => {
            running.kill();
            panic!("the broker was not up after {} s", PATIENCE.as_secs())
        }
    }
}

fn no_java(error: &std::io::Error) -> String {
    format!("cannot run java ({error}): install Java 17, or name a broker in VITALSIGN_TEST_BROKERS")
}

/// All are held until all are known, so that they differ.
fn free_ports() -> [u16; 5] {
    let listeners = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket has an address").port())
}

fn server_properties(
    folder: &Path,
    node: u32,
    port: u16,
    controller: u16,
    steers: bool,
    listeners: Option<&Listeners>,
) -> String {
    let data = folder.join("data");
    let roles = if steers { "broker,controller" } else { "broker" };
    let steering = if steers { format!(",CONTROLLER://127.0.0.1:{controller}") } else { String::new() };
    let more = listeners.map(Listeners::listeners).unwrap_or_default();
    let security = listeners.map(Listeners::properties).unwrap_or_default();
    format!(
        "process.roles={roles}
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{port}{steering}{more}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{more}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={data}
{security}# One broker: every internal topic has one replica.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A group starts at once instead of after 3 s.
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# Event times may lie years back or ahead; without these the broker deletes or refuses the records.
log.retention.ms=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
log.segment.delete.delay.ms=1000
# Compaction comes at once instead of after 15 s.
log.cleaner.backoff.ms=100
",
        data = data.display()
    )
}
