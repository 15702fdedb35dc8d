//! `postern`: the demo, and every part of the system as a subcommand of one program.

fn main() -> std::process::ExitCode {
    postern_harness::cli::main()
}
