//! The launcher and the fetcher as a program of their own, for tests of this package.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == "fetcher") {
        containers::fetcher_main()
    } else {
        containers::launcher_main(&arguments)
    }
}
