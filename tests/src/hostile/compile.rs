//! Components that mean to harm whoever compiles them. Each meets its limit in a process of its own.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{ROWS, all_but, ends, error_of, events, neighbour, quantity, run, tenant};
use crate::guest::around;
use crate::place::{Host, Place, assay};

/// What a host's memory may grow by for a component that is refused, in bytes.
const GROWTH: u64 = 64 << 20;

/// What none may take longer than by the clock, with the host's start and the neighbour's rows, where
/// everything else runs too. Their own limits are a few seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(body.len()), body].concat()
}

/// A component of a module with one function, whose body has so many bytes.
pub(super) fn function_of(bytes: usize) -> Vec<u8> {
    // Local 0 plus 1, into local 0: seven bytes, over and over.
    let turn = [0x20, 0, 0x41, 1, 0x6a, 0x21, 0];
    let mut body = vec![1, 1, 0x7f];
    body.extend(turn.iter().cycle().take(bytes / turn.len() * turn.len()));
    body.push(0x0b);
    let code = [&leb(1)[..], &leb(body.len()), &body].concat();
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &[1, 0x60, 0, 0]),
        &section(3, &[1, 0]),
        &section(10, &code),
    ]
    .concat();
    [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat()
}

/// A component of a module that exports so many functions, and that itself exports as many things as
/// a component may.
fn exports_of(many: usize) -> Vec<u8> {
    let inner: String = (0..many)
        .map(|at| format!("(export \"e{at}\" (func 0))"))
        .collect();
    let outer: String = (0..900)
        .map(|at| format!("(export \"a:b/e{at}@1.0.0\" (instance $i))"))
        .collect();
    let text = format!("(component (core module (func) {inner}) (instance $i) {outer})");
    wat::parse_str(text).unwrap()
}

/// Components within components, as deep.
fn nested(deep: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    for _ in 0..deep {
        let component = [&b"\0asm\x0d\0\x01\0"[..], &inner].concat();
        inner = section(4, &component);
    }
    [&b"\0asm\x0d\0\x01\0"[..], &inner].concat()
}

/// Native code, as the compiler's process makes it of a good component.
fn native_code() -> Vec<u8> {
    let mut compiler = Command::new(assay())
        .args([
            "compile-component",
            "--seconds",
            "600",
            "--memory",
            "2147483648",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let good = around("validator", "nop", "");
    compiler.stdin.take().unwrap().write_all(&good).unwrap();
    let made = compiler.wait_with_output().unwrap();
    assert!(made.status.success() && made.stdout[0] == b'c');
    made.stdout[9..].to_vec()
}

struct Bomb {
    name: &'static str,
    wasm: Vec<u8>,
    /// What stands in its tenant's TOML.
    limits: &'static str,
    /// What the error must say.
    words: &'static [&'static str],
}

fn bombs() -> Vec<Bomb> {
    vec![
        Bomb {
            name: "function-of-50-megabytes",
            wasm: function_of(50_000_000),
            limits: "[limits]\ncomponent = 67108864\ncompile_seconds = 5\n",
            words: &[
                "validate component function-of-50-megabytes",
                "can't be compiled",
            ],
        },
        // The largest that WebAssembly allows.
        Bomb {
            name: "slow-function",
            wasm: function_of(7_000_000),
            limits: "[limits]\ncompile_seconds = 3\n",
            words: &[
                "validate component slow-function",
                "more than 3 s of the processor's time",
                "raise compile_seconds",
            ],
        },
        Bomb {
            name: "large-function",
            wasm: function_of(7_000_000),
            limits: "[limits]\ncompile_memory = 67108864\n",
            words: &[
                "validate component large-function",
                "more than 67108864 bytes of memory",
                "raise compile_memory",
            ],
        },
        Bomb {
            name: "many-exports",
            wasm: exports_of(100_000),
            limits: "[limits]\ncompile_seconds = 60\n",
            words: &[
                "validate component many-exports",
                "no component of assay:rules",
            ],
        },
        Bomb {
            name: "matryoshka",
            wasm: nested(2_000),
            limits: "",
            words: &["validate component matryoshka", "within each other"],
        },
        Bomb {
            name: "native-code",
            wasm: native_code(),
            limits: "",
            words: &["validate component native-code", "no WebAssembly"],
        },
    ]
}

#[test]
fn a_compile_bomb_goes_off_in_a_process_of_its_own_and_within_its_limits() {
    let alone = Place::new();
    events(&alone, quantity);
    neighbour(&alone);
    let (good, log, usual) = run(&alone);
    assert!(good, "{log}");
    for bomb in bombs() {
        let place = Place::new();
        events(&place, quantity);
        neighbour(&place);
        tenant(&place, bomb.name, "validate", &bomb.wasm, bomb.limits);
        let begun = Instant::now();
        let (good, log, peak) = run(&place);
        let took = begun.elapsed();
        assert!(!good, "{} was taken:\n{log}", bomb.name);
        let line = error_of(&log, bomb.name);
        for word in bomb.words {
            assert!(line.contains(word), "{}: {word}: {line}", bomb.name);
        }
        assert!(line.len() < 8 << 10, "{}: {} bytes", bomb.name, line.len());
        assert_eq!(ends(&place, "neighbour"), all_but("silver"));
        let more = peak.saturating_sub(usual);
        println!(
            "{}: refused in {took:.1?}, {} MiB above {} MiB",
            bomb.name,
            more >> 20,
            usual >> 20
        );
        assert!(more < GROWTH, "{}: the host took {more} bytes", bomb.name);
        assert!(took < PATIENCE, "{} took {took:?}", bomb.name);
    }
}

#[test]
fn components_that_compile_for_long_do_not_hold_up_one_that_is_soon_done() {
    let mut place = Place::new();
    let cache = place.path().join("cache");
    place.set("XDG_CACHE_HOME", cache.to_str().unwrap());
    events(&place, quantity);
    let slow = function_of(7_000_000);
    for bomb in 0..3 {
        // A section that differs, so that none of them is the other.
        let wasm = [&slow[..], &section(0, &[1, b'0' + bomb])].concat();
        let limits = "[limits]\ncompile_seconds = 15\n";
        tenant(&place, &format!("bomb-{bomb}"), "validate", &wasm, limits);
    }
    let mut host = place.host(&["run", "tenants"]);
    // Each is attended by two threads and more.
    let compilers = |host: &Host| host.threads("assay-compile") >= 4;
    host.until("two of them are compiled", compilers);
    neighbour(&place);
    host.until("the neighbour's rows are in", |_| {
        place.rows_if_any("neighbour/silver").len() == ROWS
    });
    let log = host.said();
    let refused = log.matches("more than 15 s of the processor").count();
    assert!(refused <= 1, "it waited for {refused} of them:\n{log}");
}
