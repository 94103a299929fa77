//! A stretch of network between a host and a portal that can be cut.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::Result;

const BUFFER_BYTES: usize = 64 << 10;
/// Passes connections on to a portal until it is cut; new ones then pass again.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where hosts connect to.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    portal: SocketAddr,
    ended: AtomicBool,
    passing: Mutex<Vec<Arc<Connection>>>,
}

/// One connection, as both of its halves.
#[derive(Debug)]
struct Connection {
    host: TcpStream,
    portal: TcpStream,
}

impl Link {
    pub(crate) fn to(portal: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((portal.ip(), 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { portal, ended: AtomicBool::new(false), passing: Mutex::default() });
        let accepting = Arc::clone(&shared);
        let acceptor = Some(thread::spawn(move || accepting.accept(&listener)));
        Ok(Self { address, shared, acceptor })
    }

    /// Ends every connection that passes now; says how many there were.
    pub(crate) fn cut(&self) -> usize {
        let cut = std::mem::take(&mut *self.shared.passing());
        cut.iter().for_each(|connection| connection.end());
        cut.len()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // If it panicked it has said so.
            let _ = acceptor.join();
        }
        self.cut();
    }
}

impl Shared {
    fn passing(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for host in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            // A host whose portal is not there finds its connection closed, as through any network.
            let connection = host.and_then(|host| Connection::pass(host, self.portal));
            let Ok(connection) = connection else { continue };
            self.passing().push(Arc::clone(&connection));
            for (from, to) in [(Half::Host, Half::Portal), (Half::Portal, Half::Host)] {
                let (shared, connection) = (Arc::clone(&self), Arc::clone(&connection));
                thread::spawn(move || {
                    // Either way the connection is over.
                    let _ = copy(connection.half(from), connection.half(to));
                    connection.end();
                    shared.passing().retain(|other| !Arc::ptr_eq(other, &connection));
                });
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Half {
    Host,
    Portal,
}

impl Connection {
    fn pass(host: TcpStream, portal: SocketAddr) -> io::Result<Arc<Self>> {
        let portal = TcpStream::connect(portal)?;
        host.set_nodelay(true)?;
        portal.set_nodelay(true)?;
        Ok(Arc::new(Self { host, portal }))
    }

    fn half(&self, half: Half) -> &TcpStream {
        match half {
            Half::Host => &self.host,
            Half::Portal => &self.portal,
        }
    }

    fn end(&self) {
        for half in [&self.host, &self.portal] {
            // It may be over already.
            let _ = half.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}
