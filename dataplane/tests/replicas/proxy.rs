//! The way from one node to another, which can be cut, and which can fall silent without being cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Open = 0,
    /// Connections are closed, and new ones at once.
    Cut = 1,
    /// Nothing comes through, and nobody is told.
    Silent = 2,
}

/// Listens for one node in place of another.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    line: AtomicU8,
    is_over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

const LOOK: Duration = Duration::from_millis(5);

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((target.ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let line = AtomicU8::new(Line::Open as u8);
        let shared = Arc::new(Shared { line, is_over: AtomicBool::new(false), streams: Mutex::default() });
        let accepting = shared.clone();
        thread::spawn(move || {
            for from in listener.incoming() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(from) = from else { continue };
                if accepting.is(Line::Cut) {
                    continue;
                }
                let Ok(to) = TcpStream::connect(target) else { continue };
                let both = [from.try_clone().unwrap(), to.try_clone().unwrap()];
                accepting.streams.lock().unwrap().extend(both);
                accepting.forward(from.try_clone().unwrap(), to.try_clone().unwrap());
                accepting.forward(to, from);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn set(&self, line: Line) {
        self.shared.line.store(line as u8, Ordering::SeqCst);
        if line != Line::Silent {
            // What was silent and is heard of again is a new connection, as after a long loss of a network.
            self.shared.close();
        }
    }
}

impl Shared {
    fn is(&self, line: Line) -> bool {
        self.line.load(Ordering::SeqCst) == line as u8
    }

    fn close(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn forward(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream) {
        let shared = self.clone();
        thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                while shared.is(Line::Silent) && !shared.is_over.load(Ordering::SeqCst) {
                    thread::sleep(LOOK);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.close();
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
    }
}
