//! What a command answers, on the standard output.

use std::fmt;
use std::io::{ErrorKind, Write as _};

/// As `println!`, but for one who stops reading, as `head` does: the command ends then, and says nothing.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::out::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// As `print!`, in the same way.
macro_rules! put {
    ($($text:tt)*) => {
        $crate::cli::out::write(format_args!($($text)*))
    };
}

pub(crate) use {put, say};

pub(crate) fn write(text: fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    let Err(error) = output.write_fmt(text).and_then(|()| output.flush()) else {
        return;
    };
    if error.kind() != ErrorKind::BrokenPipe {
        eprintln!("assay: the answer can't be written: {error}");
    }
    std::process::exit(1);
}
