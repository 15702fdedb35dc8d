//! The simulated directory as a program of its own.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    postern_directory_mock::cli::main().await
}
