//! The one thing that a component may ask for: a line in the host's log. It is metered by bytes,
//! and costs fuel, so that a component can flood neither the log nor the host.

use wasmtime::StoreContextMut;

use super::bindings::assay::rules::host::Level;
use super::call::Held;

/// Fuel of one line: about what formatting it costs the host.
const FUEL_A_LINE: u64 = 1_000;

/// Bytes of a line that are kept.
const LONGEST_LINE: usize = 1_024;

/// How much of its log a call has used, and the last error in it: a panic's message, mostly.
#[derive(Debug)]
pub(super) struct Meter {
    left: usize,
    full: bool,
    quiet: bool,
    pub last_error: Option<String>,
}

impl Meter {
    /// A quiet one keeps the last error but writes nothing: for calls that repeat others.
    pub(super) fn new(bytes: usize, quiet: bool) -> Self {
        Self {
            left: bytes,
            full: false,
            quiet,
            last_error: None,
        }
    }

    fn write(&mut self, level: Level, text: &str) {
        let line = one_line(text, LONGEST_LINE);
        if level == Level::Error {
            self.last_error = Some(line.clone());
        }
        if self.quiet || self.full {
            return;
        }
        let Some(left) = self.left.checked_sub(line.len()) else {
            self.full = true;
            tracing::warn!("a component's further log lines of this batch are left out");
            return;
        };
        self.left = left;
        match level {
            Level::Debug => tracing::debug!(component_log = %line),
            Level::Info => tracing::info!(component_log = %line),
            // The host's own ERROR calls a person; a component's is a row in quarantine at worst.
            Level::Warning | Level::Error => tracing::warn!(component_log = %line),
        }
    }
}

/// `log` as components call it.
pub(super) fn log(
    mut store: StoreContextMut<'_, Held>,
    (level, text): (Level, String),
) -> wasmtime::Result<()> {
    let cost = FUEL_A_LINE.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
    let left = store.get_fuel()?.saturating_sub(cost);
    store.set_fuel(left)?;
    store.data_mut().meter.write(level, &text);
    Ok(())
}

/// `text` without control characters, cut to `longest` bytes.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    for letter in text.trim_end().chars() {
        if line.len() + letter.len_utf8() > longest {
            line.push('…');
            break;
        }
        line.push(if letter.is_control() { ' ' } else { letter });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_letters_and_has_no_line_breaks() {
        assert_eq!(one_line("a\nb\u{1b}[31m\n", 99), "a b [31m");
        assert_eq!(one_line("üüü", 5), "üü…");
    }

    #[test]
    fn the_last_error_is_kept_even_when_the_log_is_full() {
        let mut meter = Meter::new(4, false);
        meter.write(Level::Info, "12345");
        assert!(meter.full);
        meter.write(Level::Error, "panicked");
        assert_eq!(meter.last_error.as_deref(), Some("panicked"));
    }
}
