//! The cloud as a program of its own.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    postern_cloud::cli::main().await
}
