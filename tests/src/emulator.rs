//! Servers on this machine: Azurite for Azure's object store, moto for S3, each with its data in memory,
//! in the container or bucket `lake`; and a real OCI registry. They end with this process, however that
//! ends.
//!
//! `.ci/setup tests` puts them under `${XDG_CACHE_HOME:-~/.cache}/assay/emulators`.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kafka::{HANG_ON, free_ports};
use crate::place::{Place, cache, python, repository};

/// Azurite's start takes two seconds, more where everything else runs at the same time.
const START: Duration = Duration::from_secs(60);
/// The key that every Azurite knows its one account by; Microsoft publishes it.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A process that ends with this.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    folder: TempDir,
}

/// A store that runs.
pub struct Emulator {
    running: Running,
    /// Of a lake in it.
    pub uri: &'static str,
    /// `[lake.options]`. The secret in them is for `LAKE_SECRET` to say.
    pub options: String,
    pub secret: &'static str,
    /// What says the same to a reader that has no TOML.
    pub environment: Vec<(&'static str, String)>,
    listing: String,
}

impl Emulator {
    pub fn azure() -> Self {
        let [port] = free_ports();
        let at = format!("http://127.0.0.1:{port}");
        let program = emulators().join("azurite/node_modules/.bin/azurite-blob");
        let arguments = [
            "--blobPort",
            &port.to_string(),
            "--inMemoryPersistence",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--silent",
        ];
        let container = format!("{at}/devstoreaccount1/lake?restype=container");
        let azure = Self {
            uri: "az://lake/sales",
            options: "use_emulator = \"true\"\naccount_key = \"${LAKE_SECRET}\"".to_owned(),
            secret: AZURITE_KEY,
            environment: vec![
                ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY.to_owned()),
                ("AZURITE_BLOB_STORAGE_URL", at.clone()),
            ],
            listing: format!("{container}&comp=list"),
            running: Running::start(port, &program, &arguments),
        };
        let endpoint = format!("{at}/devstoreaccount1");
        azure.script("azure.py", &[&endpoint, "devstoreaccount1", "lake"]);
        azure
    }

    pub fn s3() -> Self {
        let [port] = free_ports();
        let at = format!("http://127.0.0.1:{port}");
        let program = emulators().join("s3/bin/python");
        let script = repository().join("tests/emulators/s3.py");
        let arguments = [script.to_str().unwrap(), &port.to_string(), "lake"];
        Self {
            uri: "s3://lake/sales",
            options: format!(
                "endpoint = \"{at}\"\nallow_http = \"true\"\nregion = \"us-east-1\"\n\
                 access_key_id = \"assay\"\nsecret_access_key = \"${{LAKE_SECRET}}\""
            ),
            secret: "any-will-do",
            environment: vec![
                ("AWS_ENDPOINT_URL", at.clone()),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ACCESS_KEY_ID", "assay".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "any-will-do".to_owned()),
            ],
            listing: format!("{at}/lake?list-type=2"),
            running: Running::start(port, &program, &arguments),
        }
    }

    /// The names of its objects: of the first thousands, where there are that many.
    pub fn objects(&self) -> Vec<String> {
        let listed = self.script("objects.py", &[&self.listing]);
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// Has readers and verbs without a TOML find it by the environment.
    pub fn tell(&self, place: &mut Place) {
        for (name, value) in &self.environment {
            place.set(name, value);
        }
    }

    fn script(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new(python())
            .arg(repository().join("tests/emulators").join(name))
            .args(arguments)
            .current_dir(self.running.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Debian's `docker-registry`, which holds its data in a folder of its own.
pub struct Registry {
    /// With its port.
    pub host: String,
    pub username: &'static str,
    pub password: &'static str,
    running: Running,
}

impl Registry {
    /// One that anybody may read and write.
    pub fn open() -> Self {
        Self::start("")
    }

    /// One that only who knows the password may read and write.
    pub fn with_a_password() -> Self {
        Self::start("auth:\n  htpasswd:\n    realm: tests\n    path: passwords\n")
    }

    fn start(auth: &str) -> Self {
        let [port] = free_ports();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: data\nhttp:\n  addr: {host}\n{auth}"
        );
        // The password in bcrypt, as registries want it.
        let passwords = "ann:$2b$05$abcdefghijklmnopqrstuuDt8u8tY.Zm8YU.pieFNyF5h5afvnc0a\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        std::fs::write(folder.path().join("passwords"), passwords).unwrap();
        let program = emulators().join("registry/usr/bin/docker-registry");
        Self {
            host,
            username: "ann",
            password: "only-for-tests",
            running: Running::start_in(folder, port, &program, &["serve", "config.yml"]),
        }
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> String {
        let request = ureq::get(format!("http://{}{path}", self.host));
        let request = request.header("accept", "application/vnd.oci.image.manifest.v1+json");
        request.call().unwrap().body_mut().read_to_string().unwrap()
    }

    /// Changes a byte of every component that it holds.
    pub fn damage(&self) {
        let blobs = "data/docker/registry/v2/blobs/sha256";
        let find = format!("find {blobs} -name data");
        let found = Command::new("sh")
            .args(["-c", &find])
            .current_dir(self.running.folder.path())
            .output()
            .unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        let mut damaged = 0;
        for file in found.lines() {
            let file = self.running.folder.path().join(file);
            let mut bytes = std::fs::read(&file).unwrap();
            if bytes.starts_with(b"\0asm") {
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(&file, bytes).unwrap();
                damaged += 1;
            }
        }
        assert!(damaged > 0, "it holds no component");
    }
}

impl Running {
    fn start(port: u16, program: &Path, arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), port, program, arguments)
    }

    fn start_in(folder: TempDir, port: u16, program: &Path, arguments: &[&str]) -> Self {
        assert!(
            program.exists(),
            "{}: say `make test`, which sets it up",
            program.display()
        );
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", HANG_ON, "emulator"])
            .arg(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = std::fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(since.elapsed() < START, "it did not start:\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            child,
            input,
            folder,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn emulators() -> PathBuf {
    cache().join("emulators")
}
