//! Instances of all tenants share places in memory, one after the other. What one left there, none
//! may ever see.

use std::sync::Arc;
use std::thread;

use arrow::array::{ArrayRef, Int64Array};

use super::configured;
use super::guests::{Guest, each_row, verdict};
use crate::plugin::{Configured, Limits, Step};

/// Takes nearly all of its memory: what the pool keeps mapped, and far beyond.
const GROW: &str = "(drop (memory.grow (i32.const 900)))";

/// Fills what is not in use.
const MARK: &str = r"
    (memory.fill (global.get $free) (i32.const 0xa5)
      (i32.sub (i32.mul (memory.size) (i32.const 65536)) (global.get $free)))";

/// Finds, in what was never written, anything but zeros.
fn look() -> String {
    format!(
        r"(local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -8)))
          (block $clean
            (loop $on
              (br_if $clean (i32.ge_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))
              (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
                (then {} (br $clean)))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (br $on)))",
        verdict("(i32.const 0)", 0)
    )
}

fn guest(each: &[&str]) -> Configured {
    let limits = Limits {
        fuel: 1_000_000_000,
        ..Limits::default()
    };
    configured(
        &Guest::new(Step::Validate, &each_row(&each.concat())),
        &limits,
    )
}

/// Whether the guest saw what it did not write.
fn sees(guest: &Configured) -> bool {
    let row: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let judged = guest.judge(1, &[Some(row)], 1).unwrap();
    assert!(judged.guilty.is_empty(), "{:?}", judged.guilty);
    !judged.verdicts.is_empty()
}

#[test]
fn no_byte_that_an_instance_left_is_seen_by_the_next_in_its_place() {
    let look = look();
    let (marks, looks) = (guest(&[GROW, MARK]), guest(&[GROW, &look]));
    let finds = guest(&[GROW, MARK, &look]);
    assert!(sees(&finds), "a mark that is there is not found");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..6 {
                    assert!(!sees(&marks));
                    assert!(!sees(&looks), "in round {round}");
                }
            });
        }
    });
}
