//! The launcher as a program of its own, for tests of this package.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    containers::launcher_main(&arguments)
}
