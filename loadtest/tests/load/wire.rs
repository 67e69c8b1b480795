//! A server that writes whatever it is told to, byte by byte.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What it does with each connection, once a request has come.
pub(crate) type Script = fn(&mut TcpStream) -> std::io::Result<()>;

/// Starts it on a free port of this machine. It ends with the test.
pub(crate) fn start(script: Script) -> SocketAddr {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, script));
        }
    });
    address
}

fn serve(mut stream: TcpStream, script: Script) {
    let mut request = [0; 4096];
    // Requests of these tests are small enough to come at once.
    while matches!(stream.read(&mut request), Ok(length) if length > 0) {
        if script(&mut stream).is_err() {
            return;
        }
    }
}

/// Writes an answer.
pub(crate) fn write(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)
}

/// Ends the connection.
pub(crate) fn close() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Other.into())
}
