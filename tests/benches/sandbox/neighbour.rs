//! Whether a tenant feels who runs beside it: its batches' times alone, and while another thread calls
//! a hostile component again and again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assay::author::trial::{Rows, Trial};
use assay::plugin::{CompileLimits, Limits, Sandbox};

use super::{ROWS, guest, line, one_guilty, sales, sandbox, timed, trial};

/// How long each of the corpus runs beside the neighbour, and how long it is alone before.
const WINDOW: Duration = Duration::from_millis(1_500);
/// Over the whole corpus, and for the worst of it.
pub fn beside_the_corpus() {
    let sandbox = sandbox();
    let (good, rows) = trial(&sales());
    let files = std::fs::read_dir(guest::corpus().join("hostile")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let (mut all_alone, mut all_beside) = (Vec::new(), Vec::new());
    let mut worst = (0.0, String::new());
    for file in &files {
        let mut alone = batches(&good, &rows);
        let mut beside = {
            let _other = Other::start(&sandbox, guest::hostile(file));
            batches(&good, &rows)
        };
        let ratio = p99(&mut beside) / p99(&mut alone);
        if ratio > worst.0 {
            worst = (ratio, file.file_stem().unwrap().display().to_string());
        }
        all_alone.append(&mut alone);
        all_beside.append(&mut beside);
    }
    let (alone, beside) = (p99(&mut all_alone), p99(&mut all_beside));
    let said = format!(
        "{:.2} times ({:.2} and {:.2} ms; the worst: {:.2}, {})",
        beside / alone,
        beside * 1e3,
        alone * 1e3,
        worst.0,
        worst.1
    );
    let what = format!(
        "a neighbour's p99 batch time beside {} of the corpus",
        files.len()
    );
    line(&what, &said, "2 times");
}

/// Seconds that each of a window's batches took.
fn batches(good: &Trial, rows: &Rows) -> Vec<f64> {
    let until = Instant::now() + WINDOW;
    let mut took = Vec::new();
    while Instant::now() < until {
        took.push(timed(|| good.measure(rows).unwrap()).1.as_secs_f64());
    }
    took
}

fn p99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// Calls a hostile component until it is dropped; one that is refused is offered again and again.
struct Other {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Other {
    fn start(sandbox: &Arc<Sandbox>, hostile: guest::Text) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sandbox, stopped) = (sandbox.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let limits = Limits::default();
            let columns = one_guilty(ROWS);
            let taken_up = || {
                let compiled =
                    sandbox.compile(&hostile.wasm, hostile.step, &CompileLimits::default());
                compiled.and_then(|component| component.configure("{}", &limits))
            };
            let mut configured = taken_up();
            while !stopped.load(Ordering::Relaxed) {
                match &configured {
                    // What comes of it is the tests' business.
                    Ok(rule) => drop(rule.judge(ROWS, &columns, 1)),
                    Err(_) => configured = taken_up(),
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
