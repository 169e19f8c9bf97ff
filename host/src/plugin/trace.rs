//! Where in a component a trap happened, where its functions have names. For authors alone: rows in
//! quarantine don't say it.

use wasmtime::WasmBacktrace;

use super::log::one_line;

/// Functions that are noted of a trap, those of a panic's own way out among them.
pub(super) const FRAMES: usize = 32;

/// Functions that are told.
const TOLD: usize = 10;

/// Bytes of a function's name.
const LONGEST_NAME: usize = 200;

/// What the names begin with of the functions that a panic leaves by.
const WAY_OUT: [&str; 6] = [
    "std::",
    "core::panicking::",
    "__rustc",
    "__rust_",
    "rust_",
    "<std::",
];

/// The functions that an error happened in, the innermost first. None where no function has a name.
pub(super) fn of(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let names = backtrace.frames().iter().map(|frame| {
        let name = frame.func_name()?;
        Some(format!("{:#}", rustc_demangle::demangle(name)))
    });
    without_way_out(names.collect())
}

fn without_way_out(names: Vec<Option<String>>) -> Vec<String> {
    if names.iter().all(Option::is_none) {
        return Vec::new();
    }
    let names = names.into_iter().map(|name| match name {
        Some(name) => one_line(&name, LONGEST_NAME),
        None => "a function without a name".to_owned(),
    });
    let leaves = |name: &String| WAY_OUT.iter().any(|begin| name.starts_with(begin));
    names.skip_while(leaves).take(TOLD).collect()
}

/// What is said of a trap, with where it was.
pub(super) fn told(text: String, trace: &[String]) -> String {
    match trace {
        [] => text,
        trace => format!("{text}, in {}", trace.join(", called by ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::plugin::tests::configured;
    use crate::plugin::tests::guests::{Guest, at_value, each_row};
    use crate::plugin::{Cause, Limits, Step};

    #[test]
    fn a_trap_says_in_which_functions_it_was() {
        let mut guest = Guest::new(Step::Validate, &each_row(&at_value(13, "(call $floor)")));
        guest.top = "(func $divide (drop (i32.div_u (i32.const 1) (i32.const 0))))
            (func $floor (call $divide))";
        let rule = configured(&guest, &Limits::default());
        let row: ArrayRef = Arc::new(Int64Array::from(vec![13]));
        let judged = rule.judge(1, &[Some(row)], 1).unwrap();
        let guilty = &judged.guilty[0];
        assert_eq!(guilty.cause, Cause::Trap);
        assert_eq!(guilty.trace[..2], ["divide", "floor"]);
        assert!(!guilty.text.contains("floor"), "{}", guilty.text);
    }

    #[test]
    fn a_panics_way_out_is_left_out_and_the_rest_is_kept_short() {
        let names = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect();
        let told = without_way_out(names(&[
            "__rust_abort",
            "std::panicking::panic_with_hook",
            "core::panicking::panic_fmt",
            "check::floor",
            "std::iter::next",
        ]));
        assert_eq!(told, ["check::floor", "std::iter::next"]);
        assert_eq!(without_way_out(vec![Some("f".to_owned()); 40]).len(), TOLD);
        assert!(without_way_out(vec![None; 3]).is_empty());
    }
}
