//! Makes a build notice new migrations, which the code embeds by folder.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
