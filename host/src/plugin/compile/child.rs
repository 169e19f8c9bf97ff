//! The host's side of a compiler's process: starts it, feeds it, takes what it made, and knows what
//! its end means.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::CompileLimits;
use super::answer::{BROKEN, CODE, MEMORY};
use crate::plugin::PluginError;
use crate::plugin::log::one_line;

/// Threads of a compiler: what it takes of memory must not depend on how many cores there are.
const THREADS: &str = "4";

/// How many times its time of the processor a compiler may take by the clock, and seconds beside
/// that. It is for one that stands still; a busy machine must not look like one.
const PATIENCE: u64 = 4;
const LEAST_PATIENCE: u64 = 60;

/// Bytes of native code that the host takes: a component with an interpreter makes a third of it.
const MOST_CODE: u64 = 256 << 20;

/// Bytes of what a compiler says on its way out.
const MOST_SAID: u64 = 64 << 10;

/// Bytes of what is said to be wrong with a component, which may be in its own words.
const LONGEST_PROBLEM: usize = 1_024;

/// How often a process that should be gone is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Compiles a component in a process of `program`. If it is not done `soon`, `stay` says whether it may
/// go on; `None`: it may not, and was stopped.
pub(super) fn compile(
    program: &Path,
    wasm: &[u8],
    limits: &CompileLimits,
    soon: Duration,
    stay: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<u8>>, PluginError> {
    let until = Instant::now() + patience(limits);
    let mut child = start(program, limits).map_err(not_run)?;
    let ended = attend(&mut child, wasm, until, soon, stay);
    if !matches!(ended, Ok(Some(_))) {
        // Nobody waits for it any more.
        let _ = child.kill();
        let _ = child.wait();
    }
    let Some(Ended {
        status,
        answer,
        said,
    }) = ended.map_err(not_run)?
    else {
        return Ok(None);
    };
    match (answer, status) {
        (_, None) => Err(PluginError::CompileClock {
            after: patience(limits),
        }),
        (Ok(Some(Answer::Code(code))), Some(status)) if status.success() => Ok(Some(code)),
        (Ok(Some(Answer::Broken(problem))), _) => Err(PluginError::Broken { problem }),
        (Ok(Some(Answer::TooLarge(bytes))), _) => Err(PluginError::CompiledSize {
            bytes,
            allowed: MOST_CODE,
        }),
        (Ok(Some(Answer::Memory)), _) => Err(out_of_memory(limits)),
        (_, Some(status)) => Err(broke_off(status, &said, limits)),
    }
}

fn patience(limits: &CompileLimits) -> Duration {
    let busy = limits.seconds.saturating_mul(PATIENCE);
    Duration::from_secs(busy.saturating_add(LEAST_PATIENCE))
}

fn start(program: &Path, limits: &CompileLimits) -> io::Result<Child> {
    let mut command = Command::new(program);
    // It needs none of the secrets that the host's environment holds.
    command.env_clear().env("RAYON_NUM_THREADS", THREADS);
    if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
        .args(["compile-component", "--seconds"])
        .arg(limits.seconds.to_string())
        .arg("--memory")
        .arg(limits.memory.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

enum Answer {
    Code(Vec<u8>),
    Broken(String),
    TooLarge(u64),
    Memory,
}

struct Ended {
    /// `None`: it was stopped by the clock.
    status: Option<ExitStatus>,
    /// `None`: there was none.
    answer: io::Result<Option<Answer>>,
    said: String,
}

/// Sees a compiler to its end, or stops it. `None`: it was stopped since it might not `stay`.
fn attend(
    child: &mut Child,
    wasm: &[u8],
    until: Instant,
    soon: Duration,
    stay: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Ended>> {
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("its pipes are not there"));
    };
    thread::scope(|scope| {
        let feeder = move || {
            // One that ends early hears no more; its end says why.
            let _ = input.write_all(wasm);
        };
        let spawn = |name: &str| thread::Builder::new().name(format!("assay-compile-{name}"));
        spawn("in").spawn_scoped(scope, feeder)?;
        let listener = spawn("said").spawn_scoped(scope, move || said(errors))?;
        let (sender, answered) = mpsc::channel();
        spawn("out").spawn_scoped(scope, move || {
            // Who stopped waiting has no use for it.
            let _ = sender.send(answer(output));
        })?;
        let mut answer = answered.recv_timeout(soon);
        if matches!(answer, Err(RecvTimeoutError::Timeout)) {
            if !stay() {
                child.kill()?;
                return Ok(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            answer = answered.recv_timeout(left);
        }
        let status = ended(child, until)?;
        let said = listener.join().unwrap_or_default();
        Ok(Some(Ended {
            status,
            answer: answer.unwrap_or(Ok(None)),
            said,
        }))
    })
}

/// How it ended by itself, if it does until then. It is gone either way.
fn ended(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Reads an answer. Of code that is too large, nothing but its size.
fn answer(mut from: impl Read) -> io::Result<Option<Answer>> {
    let mut kind = [0];
    match from.read_exact(&mut kind) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    match kind {
        [CODE] => {
            let mut size = [0; 8];
            from.read_exact(&mut size)?;
            let size = u64::from_le_bytes(size);
            if size > MOST_CODE {
                return Ok(Some(Answer::TooLarge(size)));
            }
            let mut code = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            from.read_exact(&mut code)?;
            Ok(Some(Answer::Code(code)))
        }
        [BROKEN] => {
            let mut problem = Vec::new();
            from.take(MOST_SAID).read_to_end(&mut problem)?;
            let problem = String::from_utf8_lossy(&problem);
            Ok(Some(Answer::Broken(one_line(&problem, LONGEST_PROBLEM))))
        }
        [MEMORY] => Ok(Some(Answer::Memory)),
        _ => Ok(None),
    }
}

fn said(from: impl Read) -> String {
    let mut said = Vec::new();
    let mut from = from.take(MOST_SAID);
    // What there is by then is all that matters. Should there be more, its pipe breaks.
    let _ = from.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// A compiler that gave no answer. What the system says of a limit is a signal, or what the
/// allocator says on its way out.
fn broke_off(status: ExitStatus, said: &str, limits: &CompileLimits) -> PluginError {
    if status.signal() == Some(libc::SIGXCPU) {
        return PluginError::CompileTime {
            seconds: limits.seconds,
        };
    }
    if said.contains("memory allocation of") {
        return out_of_memory(limits);
    }
    if status.signal() == Some(libc::SIGKILL) {
        return PluginError::Compiler {
            problem: "it was killed, as the system does where no memory is left".to_owned(),
        };
    }
    let last = said.trim_end().lines().next_back().unwrap_or_default();
    let last = one_line(last, LONGEST_PROBLEM);
    PluginError::Compiler {
        problem: match last.as_str() {
            "" => format!("it broke off ({status})"),
            last => format!("it broke off ({status}): {last}"),
        },
    }
}

fn out_of_memory(limits: &CompileLimits) -> PluginError {
    PluginError::CompileMemory {
        bytes: limits.memory,
    }
}

fn not_run(error: io::Error) -> PluginError {
    PluginError::Compiler {
        problem: error.to_string(),
    }
}
