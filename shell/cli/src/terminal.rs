//! The terminal that a person types in: its size, and raw mode, which is left again whatever happens.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Rows and columns; none = it is no terminal.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_row > 0).then_some((size.ws_row, size.ws_col))
}

/// Raw mode: every key goes to the other side.
pub struct Raw(Termios);

impl Raw {
    /// Enters it, if standard input is a terminal.
    pub fn enter() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return None;
        }
        let before = tcgetattr(stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Flush, &raw).ok()?;
        Some(Self(before))
    }
}

impl Raw {
    /// Keys come as they are pressed, and are not shown; what is printed is as ever.
    pub fn enter_keys() -> Option<Self> {
        use rustix::termios::LocalModes;
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return None;
        }
        let before = tcgetattr(stdin).ok()?;
        let mut keys = before.clone();
        keys.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(stdin, OptionalActions::Flush, &keys).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that went away needs nothing.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &self.0).unwrap_or_default();
    }
}
