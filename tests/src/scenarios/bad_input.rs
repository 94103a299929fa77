//! Hosts that break the rules: each is answered as the specification says, and nobody else notices.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Attached, Site, Stage};
use crate::initiator::{ConnectOptions, Initiator};

/// Commands that cannot be done, sent through the kernel's passthrough: a status, and the disk goes on.
pub(super) fn commands(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "bad-commands");
    let volume = site.attach(&host, "bad-commands", 4096, ConnectOptions::default())?;
    let device = &volume.device;
    let blocks = (1_u64 << 30) / 4096;
    let refused = [
        (format!("nvme io-passthru {device} --opcode=0x99 --namespace-id=1"), "Invalid Command Opcode"),
        (format!("nvme admin-passthru {device} --opcode=0xc5"), "Invalid Command Opcode"),
        (
            format!("nvme read {device} --start-block={blocks} --data-size=4096 --data=/dev/null"),
            "LBA Out of Range",
        ),
        (
            format!(
                "nvme read {device} --start-block={} --block-count=1 --data-size=8192 --data=/dev/null",
                blocks - 1
            ),
            "LBA Out of Range",
        ),
        (format!("nvme write-zeroes {device} --start-block={blocks} --block-count=0"), "LBA Out of Range"),
        (format!("nvme dsm {device} --ad --slbs={blocks} --blocks=8"), "LBA Out of Range"),
        (format!("nvme id-ns {device} --namespace-id=2000"), "Invalid Namespace"),
        (format!("nvme get-log {device} --log-id=0xee --log-len=512"), "Invalid Log Page"),
        (format!("nvme get-feature {device} --feature-id=0xee"), "Invalid Field"),
    ];
    for (command, expected) in refused {
        let outcome = stage.guest.run(&command)?;
        ensure!(outcome.status != 0, "`{command}` succeeded:\n{}", outcome.text);
        let printed = outcome.text.to_lowercase();
        ensure!(printed.contains(&expected.to_lowercase()), "`{command}` printed:\n{}", outcome.text);
    }
    still_serving(stage, &volume)?;
    site.server.stop()
}

/// Bytes that are no NVMe/TCP: C2HTermReq where the specification asks for it, then the connection ends.
pub(super) fn pdus(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "bad-pdus");
    let volume = site.attach(&host, "bad-pdus", 4096, ConnectOptions::default())?;
    let portal = site.server.portal();

    let wrong_version = header(0x00, 128, 128, &[1, 0]);
    let too_long = header(0x00, 128, 129, &[]);
    let capsule_without_connect = header(0x04, 72, 72, &[]);
    let gigantic = header(0x04, 72, 0x7fff_ffff, &[]);
    let data_for_nobody = header(0x06, 24, 24 + 4096, &[7, 0, 7, 0]);
    let from_a_controller = header(0x07, 24, 24, &[]);
    let first: [&[u8]; 5] =
        [&[0xff; 128], &wrong_version, &too_long, &capsule_without_connect, b"GET / HTTP/1.1\r\n\r\n"];
    for bytes in first {
        ends_with_term_req(portal, &[bytes]).with_context(|| format!("after {bytes:02x?}"))?;
    }
    let later: [&[u8]; 4] = [&gigantic, &data_for_nobody, &from_a_controller, &ic_req()];
    for bytes in later {
        ends_with_term_req(portal, &[&ic_req(), bytes])
            .with_context(|| format!("after ICReq and {bytes:02x?}"))?;
    }
    // Peers that say nothing more are no reason for others to wait.
    let mut silent = TcpStream::connect(portal)?;
    silent.write_all(&ic_req()[..50])?;
    still_serving(stage, &volume)?;
    drop(silent);
    still_serving(stage, &volume)?;
    site.server.stop()
}

fn still_serving(stage: Stage<'_>, volume: &Attached) -> Result<()> {
    let device = &volume.device;
    stage.guest.check(&format!(
        "head -c 65536 /dev/urandom >/tmp/block
        dd if=/tmp/block of={device} bs=64k oflag=direct conv=notrunc
        dd if={device} of=/tmp/back bs=64k count=1 iflag=direct; cmp /tmp/block /tmp/back"
    ))?;
    Ok(())
}

/// Sends each piece and expects, after an ICResp where one is due, a C2HTermReq and the end.
fn ends_with_term_req(portal: SocketAddr, pieces: &[&[u8]]) -> Result<()> {
    const IC_RESP: u8 = 0x01;
    const C2H_TERM_REQ: u8 = 0x03;
    let mut stream = TcpStream::connect(portal)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    for piece in pieces {
        stream.write_all(piece)?;
    }
    // The server may close while we still send: what it sent before is read all the same.
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "reading the answer: {error}");
    }
    let answer = answer.as_slice();
    let term_req = if pieces.len() > 1 {
        ensure!(answer.first() == Some(&IC_RESP), "no ICResp but {answer:02x?}");
        answer.get(128..).unwrap_or_default()
    } else {
        answer
    };
    ensure!(term_req.first() == Some(&C2H_TERM_REQ), "no C2HTermReq but {term_req:02x?}");
    Ok(())
}

/// A correct Initialize Connection Request: no digests, one R2T.
fn ic_req() -> Vec<u8> {
    header(0x00, 128, 128, &[])
}

/// A PDU of `header_len` bytes whose specific header begins with `fields`; `total_len` is what PLEN claims.
fn header(pdu_type: u8, header_len: u8, total_len: u32, fields: &[u8]) -> Vec<u8> {
    let mut pdu = vec![pdu_type, 0, header_len, 0];
    pdu.extend_from_slice(&total_len.to_le_bytes());
    pdu.extend_from_slice(fields);
    pdu.resize(usize::from(header_len), 0);
    pdu
}
