// What must hold of a connection whatever a client sends. Shared by the fuzz target and the test that
// replays its corpus.

use postern_directory_mock::Server;

/// Longest input that is one connection's: the largest request twice.
const INPUT_MAX: usize = 512 * 1024;

/// Sends `bytes` in one piece and byte by byte: both are answered alike as long as nothing is written, and a
/// closed connection says nothing more.
pub(crate) fn check(server: &Server, bytes: &[u8]) {
    if bytes.len() > INPUT_MAX {
        return;
    }
    let Some(mut whole) = server.loopback() else {
        panic!("connections that are gone count as open");
    };
    whole.send(bytes);
    if !whole.is_open() {
        assert!(whole.send(bytes).is_empty(), "a closed connection answers");
    }
    let Some(mut pieces) = server.loopback() else {
        panic!("connections that are gone count as open");
    };
    for byte in bytes {
        pieces.send(std::slice::from_ref(byte));
    }
    assert_eq!(
        whole.is_open(),
        pieces.is_open(),
        "pieces end otherwise than the whole"
    );
}
