//! argv → helper process | roles and command line. Nothing heavy happens before a helper is dispatched.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("launcher") => containers::launcher_main(&arguments[2..]),
        Some("fetcher") => containers::fetcher_main(),
        _ => node::main(arguments),
    }
}
