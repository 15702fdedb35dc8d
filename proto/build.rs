//! Compiles the `.proto` files without any tool that would have to be installed.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = ["registration", "channel", "signin", "admin"]
        .iter()
        .map(|name| format!("proto/postern/{name}/v1/{name}.proto"))
        .collect();
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(
        Path::new(&out).join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        // A stray `{:?}` must print neither a password nor a secret.
        .skip_debug([
            "postern.signin.v1.SignInRequest",
            "postern.registration.v1.EnrolRequest",
            "postern.admin.v1.CreateClientResponse",
            "postern.admin.v1.CreateTokenResponse",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
