//! Has the kernel forget which packets belong together, as `conntrack --flush` does.

use std::io;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::NETFILTER, recv, send,
    socket_with,
};

/// Forgets every connection of the network that the calling thread is in.
pub(super) fn flush() -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut answer = [0; 64];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    match answer[..length].get(ERROR).and_then(|error| error.try_into().ok()) {
        Some(error) => match i32::from_ne_bytes(error) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        },
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A `nlmsghdr` and a `nfgenmsg` of linux/netlink.h and linux/netfilter/nfnetlink.h, for every
/// family of addresses and without a condition: that is all connections.
fn request() -> [u8; LENGTH as usize] {
    let mut request = [0; LENGTH as usize];
    request[..4].copy_from_slice(&LENGTH.to_ne_bytes());
    request[4..6].copy_from_slice(&DELETE.to_ne_bytes());
    request[6..8].copy_from_slice(&FLAGS.to_ne_bytes());
    request
}

const LENGTH: u32 = 20;
/// NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_DELETE.
const DELETE: u16 = (1 << 8) | 2;
/// NLM_F_REQUEST and NLM_F_ACK.
const FLAGS: u16 = 1 | 4;
/// Where an `nlmsgerr` says what went wrong: 0 for nothing, a negative number otherwise.
const ERROR: std::ops::Range<usize> = 16..20;
