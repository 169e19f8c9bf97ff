//! A folder for one test: its lake, its events, its pipelines, and the `assay` command in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a host that runs may take for what is waited for, where everything else runs too.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// The memory that a process that runs has had at most, in bytes.
pub fn most_memory(process: u32) -> Option<u64> {
    memory(process, "VmHWM:")
}

/// What the system says of a process's memory under this name, in bytes.
fn memory(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let found = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = found.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

/// A host that runs until it is told to stop. It is killed with this.
pub struct Host {
    child: Child,
    log: PathBuf,
    /// Where in its log it began: a machine keeps its log.
    since: usize,
}

impl Host {
    /// What it has said so far, and those before it on its machine.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// What it has said itself.
    pub fn said(&self) -> String {
        self.log().split_off(self.since)
    }

    /// Waits until something is so. A host that ends before is a failure.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !is_so(self) {
            let ended = self.child.try_wait().unwrap();
            let late = since.elapsed() > PATIENCE;
            assert!(
                ended.is_none() && !late,
                "{what}: {ended:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends it a signal, as `STOP`.
    pub fn signal(&self, name: &str) {
        // The shell's own, since not every machine has a command of that name.
        let kill = format!("kill -{name} {}", self.child.id());
        let told = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(told.success());
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The memory that it has had at most, in MiB.
    pub fn most_memory(&self) -> u64 {
        most_memory(self.child.id()).unwrap() >> 20
    }

    /// How many threads it has whose names begin so.
    pub fn threads(&self, name: &str) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|known| known.starts_with(name)).count()
    }

    /// The memory that it has now, in bytes.
    pub fn memory(&self) -> u64 {
        memory(self.child.id(), "VmRSS:").unwrap()
    }

    /// Waits until it ends by itself.
    pub fn ends(&mut self, what: &str) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{what}: it goes on\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends it SIGTERM and waits for its end. Answers with how it ended and all that it said.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let ended = self.child.wait().unwrap();
        (ended, self.log())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(&self.log)
        {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("the host's last words:\n{}", last.join("\n"));
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub good: bool,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            good: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// What it said, where it went well.
    pub fn well(self) -> String {
        assert!(self.good, "failed\n{}\n{}", self.out, self.err);
        self.out
    }

    /// What it said on its way out, where it failed.
    pub fn badly(self) -> String {
        assert!(!self.good, "went well\n{}\n{}", self.out, self.err);
        self.err
    }
}

/// A number that the environment says.
pub fn told(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap())
}

/// The checkout.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// The command under test, as `make components` built it, or the one that `ASSAY_BIN` names.
pub fn assay() -> PathBuf {
    if let Some(other) = std::env::var_os("ASSAY_BIN").map(PathBuf::from) {
        assert!(other.is_file(), "ASSAY_BIN: no {}", other.display());
        return other;
    }
    let test = std::env::current_exe().unwrap();
    let found = test
        .ancestors()
        .skip(2)
        .map(|folder| folder.join("assay"))
        .next()
        .unwrap();
    assert!(
        found.is_file(),
        "{}: say `make test`, which builds it",
        found.display()
    );
    found
}

/// Where `make test` sets up what is not in the checkout.
pub fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join("assay")
}

/// Python with the readers, as `make test` sets it up.
pub fn python() -> PathBuf {
    let python = cache().join("readers/bin/python");
    assert!(
        python.exists(),
        "{}: say `make test`, which sets it up",
        python.display()
    );
    python
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    /// Sets an environment variable for each command from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn lake(&self) -> PathBuf {
        self.path().join("lake")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Adds to a file, as one does who writes while others read.
    pub fn append(&self, path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// A pipeline of the repository with some of its text replaced, to be run from here.
    pub fn pipeline(&self, name: &str, replace: &[(&str, &str)]) -> PathBuf {
        let folder = repository().join("pipelines");
        let mut text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        for (from, to) in replace {
            assert!(text.contains(from), "{name}.toml has no {from:?}");
            text = text.replace(from, to);
        }
        // Its paths are relative to its folder.
        let plugins = repository().join("plugins");
        let text = text.replace("\"../plugins", &format!("\"{}", plugins.display()));
        let text = text.replace(
            &format!("file = \"{name}/"),
            &format!("file = \"{}/{name}/", folder.display()),
        );
        self.write(&format!("{name}.toml"), text)
    }

    /// The retail pipeline, reading files from `events`.
    pub fn retail_from_files(&self, events: &Path, more: &[(&str, &str)]) -> PathBuf {
        let text = std::fs::read_to_string(repository().join("pipelines/retail.toml")).unwrap();
        let begin = text.find("[source]").unwrap();
        let end = begin + text[begin..].find("\n[event]").unwrap();
        let source = format!(
            "[source]\nkind = \"file\"\npath = \"{}\"\n",
            events.display()
        );
        let mut replace = vec![(&text[begin..end], source.as_str())];
        replace.extend_from_slice(more);
        self.pipeline("retail", &replace)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assay());
        command
            .args(arguments)
            .current_dir(self.path())
            .env("ASSAY_LAKE", self.lake())
            .env_remove("ASSAY_LOG")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `assay` to its end.
    pub fn assay(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs `assay` to its end over a lake under faults, as `seed=7,lost=0.2`.
    pub fn assay_under(&self, faults: &str, arguments: &[&str]) -> Said {
        self.faulty(faults, arguments).output().unwrap().into()
    }

    /// Starts a host over a lake under faults.
    pub fn host_under(&self, faults: &str, arguments: &[&str]) -> Host {
        self.host_of("faulty", self.faulty(faults, arguments))
    }

    /// Runs `assay` well, and answers with the processor time that it took.
    pub fn measured(&self, arguments: &[&str]) -> Duration {
        let mut command = self.command(arguments);
        let said = tempfile::tempfile_in(self.path()).unwrap();
        let child = command.stderr(said).spawn().unwrap();
        let used = wait4::Wait4::wait4(child).unwrap();
        assert!(used.status.success(), "{arguments:?}: {}", used.status);
        used.rusage.utime + used.rusage.stime
    }

    fn faulty(&self, faults: &str, arguments: &[&str]) -> Command {
        let faulty = assay().with_file_name("assay-faults");
        assert!(
            faulty.is_file(),
            "{}: say `make test`, which builds it",
            faulty.display()
        );
        let calm = self.command(arguments);
        let environment = calm.get_envs();
        let environment = environment.filter_map(|(name, value)| Some((name, value?)));
        let mut command = Command::new(faulty);
        command
            .args(calm.get_args())
            .current_dir(self.path())
            .envs(environment)
            .env("ASSAY_FAULTS", faults)
            .stdin(Stdio::null());
        command
    }

    /// Starts `assay` and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts a host that runs until it is told to stop.
    pub fn host(&self, arguments: &[&str]) -> Host {
        self.host_of("host", self.command(arguments))
    }

    /// Starts a host of a machine of this name: Kafka's group knows it by that.
    pub fn host_on(&self, machine: &str, arguments: &[&str]) -> Host {
        self.host_where(machine, &[], arguments)
    }

    /// The same, with these environment variables.
    pub fn host_where(
        &self,
        machine: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Host {
        let mut command = self.command(arguments);
        command.env("HOSTNAME", machine);
        command.envs(variables.iter().copied());
        self.host_of(machine, command)
    }

    /// Starts a host of a machine of this name that dies where `FAILPOINTS` says.
    pub fn mortal_on(&self, machine: &str, points: &str, arguments: &[&str]) -> Host {
        self.host_at(points, machine, &[], arguments)
    }

    /// Starts a host of a machine of this name that does at points what `FAILPOINTS` says, with these
    /// environment variables.
    pub fn host_at(
        &self,
        points: &str,
        machine: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Host {
        let mut command = self.faulty("seed=1", arguments);
        command.env("HOSTNAME", machine).env("FAILPOINTS", points);
        command.envs(variables.iter().copied());
        self.host_of(machine, command)
    }

    fn host_of(&self, name: &str, mut command: Command) -> Host {
        let log = self.path().join(format!("{name}.log"));
        let mut options = std::fs::File::options();
        let said = options.create(true).append(true).open(&log).unwrap();
        let since = said.metadata().unwrap().len();
        command.stdout(said.try_clone().unwrap()).stderr(said);
        Host {
            child: command.spawn().unwrap(),
            log,
            since: usize::try_from(since).unwrap(),
        }
    }

    /// Runs a script of `tests/readers`.
    pub fn reader(&self, script: &str, arguments: &[&str]) -> String {
        self.try_reader(script, arguments).well()
    }

    /// Runs a script of `tests/readers` that may find fault.
    pub fn try_reader(&self, script: &str, arguments: &[&str]) -> Said {
        let script = repository().join("tests/readers").join(script);
        let output = Command::new(python())
            .arg(script)
            .args(arguments)
            .current_dir(self.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        output.into()
    }

    /// Rows of a table of the lake as JSON objects, read by Polars. None where there is no table.
    pub fn rows_if_any(&self, table: &str) -> Vec<serde_json::Value> {
        match self.lake().join(table).join("_delta_log").exists() {
            true => self.rows(table),
            false => Vec::new(),
        }
    }

    /// Rows of a table of the lake as JSON objects, read by Polars.
    pub fn rows(&self, table: &str) -> Vec<serde_json::Value> {
        self.columns(table, &[])
    }

    /// Some columns of a table; all, where none is named.
    pub fn columns(&self, table: &str, columns: &[&str]) -> Vec<serde_json::Value> {
        self.listed("rows.py", table, columns)
    }

    /// The live files of a table of the lake, read by delta-rs.
    pub fn files(&self, table: &str) -> Vec<serde_json::Value> {
        self.listed("files.py", table, &[])
    }

    fn listed(&self, script: &str, table: &str, columns: &[&str]) -> Vec<serde_json::Value> {
        let path = self.lake().join(table);
        let text = self.reader(script, &[&[path.to_str().unwrap()], columns].concat());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Loads a product dimension of the one product P1, while a host runs or not.
    pub fn load_product(&self, pipeline: &Path, name: &str) {
        let rows = format!(
            "product_id,product_name,category,list_price,cost\nP1,{name},grocery,2.50,1.00\n"
        );
        let file = self.write("products.csv", rows);
        let load = ["dimension", "load", "retail", "product"];
        let files = [
            file.to_str().unwrap(),
            "--pipeline",
            pipeline.to_str().unwrap(),
        ];
        self.assay(&[&load[..], &files].concat()).well();
    }

    /// Holds the retail tables to what `assay generate` said in `sales` that they must hold, as
    /// readers see them that are not ours. `more` are further arguments of the script.
    pub fn holds_expected(&self, more: &[&str]) {
        let lake = self.lake();
        let arguments = [lake.to_str().unwrap(), "retail", "sales/expected.json"];
        let said = self.reader("check_expected.py", &[&arguments[..], more].concat());
        assert!(said.contains("OK"), "{said}");
    }

    /// The same, and each generated id where it was meant to be.
    pub fn holds_expected_ids(&self) {
        self.holds_expected(&["--ids", "sales/expected-ids.csv"]);
    }

    /// Runs a pipeline until everything is in gold, then has the books checked.
    pub fn run_to_the_end(&self, pipeline: &Path) {
        self.assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
            .well();
        let books = self.assay(&["verify"]).well();
        assert!(books.contains("the books balance"), "{books}");
    }
}
