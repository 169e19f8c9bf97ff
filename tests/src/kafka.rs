//! A real Apache Kafka: one broker in KRaft mode, from Maven's artifacts, on free ports. One of its
//! listeners asks for nothing, the other for TLS and a password.
//!
//! Its jars are fetched once, and lie in `${XDG_CACHE_HOME:-~/.cache}/assay`. The broker hangs on a
//! pipe from this process, so it ends with it, however that ends.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

const VERSION: &str = "4.1.1";
/// Any will do, as each broker has a folder of its own.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";
/// A start takes five seconds, more where everything else runs at the same time.
const START: Duration = Duration::from_secs(120);

/// Who the listener with a password knows.
pub const USER: &str = "assay";
pub const PASSWORD: &str = "correct-horse-battery";
/// The broker's certificate, in its folder.
const CERTIFICATE: &str = "broker.pem";
/// Of the broker's own key, which lies there too.
const KEYSTORE_PASSWORD: &str = "of-the-keystore";

/// Passes its arguments on as a command, and kills that, by its id, once its input ends.
pub const HANG_ON: &str = r#""$@" & pid=$!; cat >/dev/null; kill -9 $pid 2>/dev/null; wait $pid"#;

/// One broker, with its data. It ends with this.
pub struct Kafka {
    folder: TempDir,
    port: u16,
    secured_port: u16,
    running: Mutex<Option<(Child, ChildStdin)>>,
}

/// The broker that all tests share. Topics are a test's own.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

impl Kafka {
    /// Starts a broker and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, secured_port, controller] = free_ports();
        let data = folder.path().join("data");
        let keys = make_keys(folder.path());
        let properties = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secured_port},CONTROLLER://127.0.0.1:{controller}"
            ),
            format!(
                "advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secured_port}"
            ),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL"
                .to_owned(),
            "ssl.keystore.type=PKCS12".to_owned(),
            format!("ssl.keystore.location={}", keys.display()),
            format!("ssl.keystore.password={KEYSTORE_PASSWORD}"),
            "sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("log.dirs={}", data.display()),
            "auto.create.topics.enable=false".to_owned(),
            "offsets.topic.num.partitions=1".to_owned(),
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.num.partitions=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "share.coordinator.state.topic.replication.factor=1".to_owned(),
            "share.coordinator.state.topic.min.isr=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "group.min.session.timeout.ms=1000".to_owned(),
            // Of groups whose protocol is `consumer`, the broker says how soon a member is gone.
            "group.consumer.min.session.timeout.ms=1000".to_owned(),
            "group.consumer.session.timeout.ms=6000".to_owned(),
            "group.consumer.min.heartbeat.interval.ms=500".to_owned(),
            "group.consumer.heartbeat.interval.ms=1000".to_owned(),
        ];
        let file = folder.path().join("server.properties");
        fs::write(&file, properties.join("\n")).unwrap();
        let format = java()
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"])
            .arg(&file)
            .args([
                "--add-scram",
                &format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]"),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&format.stderr);
        assert!(format.status.success(), "Kafka's storage: {said}");
        let kafka = Self {
            folder,
            port,
            secured_port,
            running: Mutex::new(None),
        };
        kafka.resume();
        kafka
    }

    /// Where clients find it: host:port.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where clients find the listener that asks for TLS and a password.
    pub fn secured(&self) -> String {
        format!("127.0.0.1:{}", self.secured_port)
    }

    /// The certificate, as PEM, by which clients know that listener.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join(CERTIFICATE)
    }

    /// The processor time that the broker has taken since it was started last. For the benchmark.
    #[allow(dead_code, reason = "the tests do not measure")]
    pub fn cpu(&self) -> Duration {
        /// Linux counts in hundredths of a second wherever it says so to programs.
        const TICK: Duration = Duration::from_millis(10);
        let running = self.running.lock().unwrap();
        let shell = running.as_ref().unwrap().0.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let ticks = children.split_whitespace().map(|child| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // Behind the command's name, which ends with the last bracket: proc(5).
            let fields = stat.rsplit(')').next().unwrap_or_default();
            let times = fields.split_whitespace().skip(11).take(2);
            times
                .filter_map(|ticks| ticks.parse::<u32>().ok())
                .sum::<u32>()
        });
        TICK * ticks.sum::<u32>()
    }

    /// Kills the broker. Its data stays.
    pub fn stop(&self) {
        if let Some((mut child, input)) = self.running.lock().unwrap().take() {
            drop(input);
            child.wait().unwrap();
        }
    }

    /// Starts it again, on the same port with the same data.
    pub fn resume(&self) {
        let log = self.folder.path().join("log");
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let java = java();
        let mut child = Command::new("sh")
            .args(["-c", HANG_ON, "kafka"])
            .arg(java.get_program())
            .args(java.get_args())
            .arg("kafka.Kafka")
            .arg(self.folder.path().join("server.properties"))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        *self.running.lock().unwrap() = Some((child, input));
        let since = Instant::now();
        let asker: BaseConsumer = self.client().create().unwrap();
        while asker.fetch_metadata(None, Duration::from_secs(1)).is_err() {
            let said = fs::read_to_string(&log).unwrap();
            assert!(since.elapsed() < START, "Kafka did not start:\n{said}");
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Makes a topic, and waits until it is known.
    pub async fn create_topic(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = self
            .admin()
            .create_topics([&new], &options())
            .await
            .unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
        self.until(topic, usize::try_from(partitions).unwrap());
    }

    pub async fn delete_topic(&self, topic: &str) {
        let gone = self
            .admin()
            .delete_topics(&[topic], &options())
            .await
            .unwrap();
        gone.into_iter().for_each(|gone| drop(gone.unwrap()));
        self.until(topic, 0);
    }

    /// Gives a topic more partitions: this many in all.
    pub async fn add_partitions(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let made = self
            .admin()
            .create_partitions([&new], &options())
            .await
            .unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
        self.until(topic, partitions);
    }

    /// Lets everything before an offset expire.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))
            .unwrap();
        let gone = self
            .admin()
            .delete_records(&list, &options())
            .await
            .unwrap();
        gone.elements()
            .iter()
            .for_each(|gone| gone.error().unwrap());
    }

    fn until(&self, topic: &str, partitions: usize) {
        let asker: BaseConsumer = self.client().create().unwrap();
        let since = Instant::now();
        loop {
            let found = asker.fetch_metadata(None, Duration::from_secs(10)).unwrap();
            let found = found.topics().iter().find(|found| found.name() == topic);
            if found.map_or(0, |found| found.partitions().len()) == partitions {
                return;
            }
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "{topic}: not {partitions}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.stop();
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))
}

/// Ports that nobody listens on, each another.
/// Ports that were free a moment ago.
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Makes the broker a key that vouches for itself, and lays its certificate beside it.
fn make_keys(folder: &Path) -> PathBuf {
    let store = folder.join("keys.p12");
    let keytool = |arguments: &[&str]| {
        let made = Command::new("keytool")
            .args(arguments)
            .args([
                "-alias",
                "broker",
                "-storepass",
                KEYSTORE_PASSWORD,
                "-keystore",
            ])
            .arg(&store)
            .output()
            .expect("keytool comes with Java");
        assert!(made.status.success(), "{made:?}");
    };
    keytool(&[
        "-genkeypair",
        "-storetype",
        "PKCS12",
        "-keyalg",
        "EC",
        "-groupname",
        "secp256r1",
        "-dname",
        "CN=localhost",
        "-ext",
        "san=ip:127.0.0.1,dns:localhost",
    ]);
    let certificate = folder.join(CERTIFICATE);
    keytool(&[
        "-exportcert",
        "-rfc",
        "-file",
        certificate.to_str().unwrap(),
    ]);
    store
}

fn java() -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-Xms128m", "-XX:TieredStopAtLevel=1", "-cp"]);
    java.arg(jars().join("*"));
    java
}

/// Kafka's jars, fetched where they are not there yet.
fn jars() -> PathBuf {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache
            .unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"))
            .join("assay");
        let jars = cache.join(format!("kafka-{VERSION}"));
        if !jars.is_dir() {
            fetch(&cache, &jars);
        }
        jars
    })
    .clone()
}

fn fetch(cache: &Path, jars: &Path) {
    fs::create_dir_all(cache).unwrap();
    // Moved into its place as a whole, so that a fetch that was cut short is made again.
    let part = tempfile::tempdir_in(cache).unwrap();
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml");
    let fetched = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", part.path().display()))
        .status();
    let fetched = fetched.expect("Maven is needed to fetch Kafka: apt-get install maven");
    assert!(fetched.success(), "Maven could not fetch Kafka");
    fs::rename(part.keep(), jars).unwrap();
}
