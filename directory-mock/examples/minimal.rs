//! A directory with two users, until Ctrl-C.

use postern_directory_mock::{AccountState, Directory, Server, ServerOptions, User};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Directory::builder("corp.example.test", "CORP")
        .user(User::new("alice", "correct horse"))
        .user(User::new("dora", "battery").state(AccountState::Disabled))
        .build();
    let server = Server::start(directory, ServerOptions::default(), &postern_kit::Seams::real()).await?;
    println!("{:?} {:?}", server.ldap_addr(), server.ldaps_addr());
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
