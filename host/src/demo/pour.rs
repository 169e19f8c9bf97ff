//! Sends a generated stream somewhere, no faster than it is taken and no faster than asked.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::generate::{Event, Generator};

/// Where generated lines go.
pub trait Sink {
    /// Takes one line, and waits while there is no room for it.
    ///
    /// # Errors
    /// The line could not be taken.
    fn send(&mut self, key: &[u8], line: &[u8]) -> io::Result<()>;

    /// Returns once every line so far has arrived.
    ///
    /// # Errors
    /// At least one line did not arrive.
    fn flush(&mut self) -> io::Result<()>;
}

/// Sends every line of a stream that ends, and shows each to `seen` once it is sent.
///
/// # Errors
/// What the sink or `seen` says. A sink whose reader has enough is no error: the stream ends.
pub fn pour(
    generator: &mut Generator,
    sink: &mut dyn Sink,
    rate: Option<NonZeroU64>,
    mut seen: impl FnMut(&Event<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut pace = rate.map(Pace::new);
    while let Some(event) = generator.next_event() {
        if let Err(error) = sink.send(event.key.as_bytes(), event.line) {
            return unless_closed(error);
        }
        seen(&event)?;
        let Some(pause) = pace.as_mut().and_then(Pace::step) else {
            continue;
        };
        if let Err(error) = sink.flush() {
            return unless_closed(error);
        }
        std::thread::sleep(pause);
    }
    sink.flush().or_else(unless_closed)
}

fn unless_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(error)
}

/// Holds a stream to a rate.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    rate: NonZeroU64,
    made: u64,
}

impl Pace {
    /// Shorter pauses cost more than they smooth.
    const SHORTEST: Duration = Duration::from_millis(5);

    /// `rate` lines a second, from now on.
    pub fn new(rate: NonZeroU64) -> Self {
        Self {
            began: Instant::now(),
            rate,
            made: 0,
        }
    }

    /// Counts a line; how long to wait now, if at all.
    pub fn step(&mut self) -> Option<Duration> {
        self.made += 1;
        let due = Duration::from_secs_f64(self.made as f64 / self.rate.get() as f64);
        let ahead = due.checked_sub(self.began.elapsed())?;
        (ahead >= Self::SHORTEST).then_some(ahead)
    }
}

/// Lines to a writer, each with its end.
#[derive(Debug)]
pub struct Lines<W>(pub W);

impl<W: Write> Sink for Lines<W> {
    fn send(&mut self, _: &[u8], line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)?;
        self.0.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::generate::Options;

    fn generator(count: u64) -> Generator {
        let options = Options {
            count,
            ..Options::default()
        };
        Generator::new(options).unwrap()
    }

    #[test]
    fn a_rate_stretches_the_stream() {
        let mut lines = Lines(Vec::new());
        let began = Instant::now();
        pour(&mut generator(30), &mut lines, NonZeroU64::new(200), |_| {
            Ok(())
        })
        .unwrap();
        assert!(began.elapsed() >= Duration::from_millis(140));
        assert_eq!(lines.0.iter().filter(|byte| **byte == b'\n').count(), 30);
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error_and_other_refusals_are() {
        struct Closed(io::ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let pour_into = |kind| {
            let seen = |_: &Event<'_>| panic!("it was not sent");
            pour(&mut generator(5), &mut Lines(Closed(kind)), None, seen)
        };
        pour_into(io::ErrorKind::BrokenPipe).unwrap();
        let error = pour_into(io::ErrorKind::StorageFull).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
