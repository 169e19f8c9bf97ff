//! What the demo prints while it runs: plain lines, so that they can be piped and read later.

use std::fmt::Write as _;
use std::time::Duration;

/// The column heads are said again after so many lines: about a screen.
const LINES_A_HEAD: u64 = 20;

/// What quarantine holds is said after so many lines.
const LINES_A_BREAKDOWN: u64 = 5;

/// How things stand at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Since the demo began.
    pub elapsed: Duration,
    /// Events that bronze took, a second, of late.
    pub events_per_second: f64,
    /// Events that were sent and are not in bronze yet.
    pub lag: u64,
    /// Rows in each table so far.
    pub bronze: u64,
    pub silver: u64,
    pub quarantine: u64,
    /// Rows of quarantine by rule.
    pub quarantine_by_rule: Vec<(String, u64)>,
    pub gold: Gold,
    /// From an event's sending to its commit in silver; none before the first commit.
    pub latency: Option<Latency>,
}

/// What gold's daily sales hold so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gold {
    pub rows: u64,
    pub sales: u64,
    /// In cents.
    pub net_amount: i128,
}

/// Half of all events, and 99 of 100, took no longer than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
}

/// Turns progress into lines, with heads and a breakdown now and then.
#[derive(Debug, Default)]
pub struct Lines {
    printed: u64,
}

impl Lines {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next lines to print, each with its end.
    pub fn render(&mut self, progress: &Progress) -> String {
        let mut text = String::new();
        if self.printed.is_multiple_of(LINES_A_HEAD) {
            text.push_str(&head());
        }
        text.push_str(&line(progress));
        self.printed += 1;
        if self.printed.is_multiple_of(LINES_A_BREAKDOWN) {
            text.push_str(&breakdown(&progress.quarantine_by_rule));
        }
        text
    }
}

fn head() -> String {
    format!(
        "{:>7} {:>9} {:>8} {:>11} {:>11} {:>10} | {:>9} {:>11} {:>17} | {:>7} {:>7}\n",
        "time",
        "events/s",
        "lag",
        "bronze",
        "silver",
        "quarantine",
        "gold rows",
        "sales",
        "net amount",
        "p50",
        "p99"
    )
}

/// One line for one moment.
pub fn line(progress: &Progress) -> String {
    let latency =
        |pick: fn(Latency) -> Duration| progress.latency.map_or("-".to_owned(), |l| span(pick(l)));
    format!(
        "{:>7} {:>9} {:>8} {:>11} {:>11} {:>10} | {:>9} {:>11} {:>17} | {:>7} {:>7}\n",
        format!("{} s", progress.elapsed.as_secs()),
        rate(progress.events_per_second),
        grouped(&progress.lag.to_string()),
        grouped(&progress.bronze.to_string()),
        grouped(&progress.silver.to_string()),
        grouped(&progress.quarantine.to_string()),
        grouped(&progress.gold.rows.to_string()),
        grouped(&progress.gold.sales.to_string()),
        money(progress.gold.net_amount),
        latency(|l| l.p50),
        latency(|l| l.p99),
    )
}

/// What quarantine holds, the most frequent rule first; nothing where it holds nothing.
pub fn breakdown(by_rule: &[(String, u64)]) -> String {
    let mut rules: Vec<&(String, u64)> = by_rule.iter().filter(|(_, rows)| *rows > 0).collect();
    if rules.is_empty() {
        return String::new();
    }
    rules.sort_by(|(one, fewer), (other, more)| more.cmp(fewer).then(one.cmp(other)));
    let mut text = String::from("        quarantine:");
    for (at, (rule, rows)) in rules.into_iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a string can't fail.
        let _ = write!(text, "{comma} {rule} {}", grouped(&rows.to_string()));
    }
    text.push('\n');
    text
}

/// Cents as an amount: `1,234.50`.
pub fn money(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!(
        "{sign}{}.{:02}",
        grouped(&(cents / 100).to_string()),
        cents % 100
    )
}

fn rate(rate: f64) -> String {
    grouped(&format!("{:.0}", rate.max(0.0)))
}

fn span(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

/// Digits with a comma between thousands.
pub fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            elapsed: Duration::from_millis(12_900),
            events_per_second: 19_999.6,
            lag: 312,
            bronze: 240_000,
            silver: 232_780,
            quarantine: 7_220,
            quarantine_by_rule: vec![
                ("malformed".into(), 600),
                ("never_seen".into(), 0),
                ("duplicate".into(), 4_800),
                ("no_key".into(), 600),
            ],
            gold: Gold {
                rows: 120,
                sales: 231_900,
                net_amount: 29_123_456_789,
            },
            latency: Some(Latency {
                p50: Duration::from_millis(412),
                p99: Duration::from_millis(1_240),
            }),
        }
    }

    #[test]
    fn a_line_says_rates_rows_gold_and_latency_under_its_heads() {
        let text = Lines::new().render(&progress());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "   time  events/s      lag      bronze      silver quarantine | gold rows       sales        net amount |     p50     p99",
                "   12 s    20,000      312     240,000     232,780      7,220 |       120     231,900    291,234,567.89 |  412 ms   1.2 s",
            ]
        );
    }

    #[test]
    fn heads_and_quarantine_come_again_now_and_then() {
        let mut lines = Lines::new();
        let text: String = (0..40).map(|_| lines.render(&progress())).collect();
        assert_eq!(text.matches("events/s").count(), 2);
        assert_eq!(
            text.matches("quarantine: duplicate 4,800, malformed 600, no_key 600\n")
                .count(),
            8
        );
        assert!(!text.contains("never_seen"));
    }

    #[test]
    fn before_the_first_commit_there_is_no_latency_and_nothing_in_quarantine() {
        let mut lines = Lines::new();
        let text: String = (0..5).map(|_| lines.render(&Progress::default())).collect();
        assert!(text.ends_with("|       -       -\n"), "{text}");
        assert!(!text.contains("quarantine:"));
    }

    #[test]
    fn amounts_have_two_decimals_and_grouped_thousands() {
        for (cents, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (-123_456, "-1,234.56"),
            (100_000_000, "1,000,000.00"),
        ] {
            assert_eq!(money(cents), text);
        }
    }
}
