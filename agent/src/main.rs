//! The agent as a program of its own.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    postern_agent::cli::main().await
}
