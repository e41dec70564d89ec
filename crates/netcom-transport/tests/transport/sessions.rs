//! Drivers between real sessions.

use bytes::Bytes;
use netcom_session::{Code, LinkLoss};

use crate::support::{LISTEN, pair};

/// Bytes that differ by position, so that a wrong order shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[6]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_go_back_and_forth_over_every_transport() {
    for listen in LISTEN {
        let pair = pair(listen).await;
        let near = pair.dialer.open();
        pair.dialer.write(near, Bytes::from_static(b"ping 0")).await;
        let far = pair.listener.accept().await;
        for round in 0..100 {
            let got = pair.listener.read(far, 1000).await;
            assert_eq!(got[0], format!("ping {round}"), "{listen}");
            pair.listener.write(far, Bytes::from(format!("pong {round}"))).await;
            let got = pair.dialer.read(near, 1000).await;
            assert_eq!(got[0], format!("pong {round}"), "{listen}");
            let next = format!("ping {}", round + 1);
            pair.dialer.write(near, Bytes::from(next)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_arrive_whole_over_every_transport() {
    let sent = Bytes::from(pattern(64 << 20));
    for listen in LISTEN {
        let pair = pair(listen).await;
        let near = pair.dialer.open();
        let writer = {
            let (shell, bytes) = (pair.dialer.clone(), sent.clone());
            tokio::spawn(async move {
                shell.write(near, bytes).await;
                shell.finish(near);
            })
        };
        let far = pair.listener.accept().await;
        let got = pair.listener.read_all(far).await;
        assert!(got == sent, "{listen}: {} bytes", got.len());
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_carry_bulk_at_once() {
    let sent = Bytes::from(pattern(16 << 20));
    for listen in LISTEN {
        let pair = pair(listen).await;
        let near = pair.dialer.open();
        pair.dialer.write(near, Bytes::from_static(b"!")).await;
        let far = pair.listener.accept().await;
        pair.listener.read(far, 1).await;
        let send = |shell: &std::sync::Arc<crate::support::Shell>, id| {
            let (shell, bytes) = (shell.clone(), sent.clone());
            tokio::spawn(async move {
                shell.write(id, bytes).await;
                shell.finish(id);
            })
        };
        let writers = [send(&pair.dialer, near), send(&pair.listener, far)];
        let (right, left) = tokio::join!(pair.listener.read_all(far), pair.dialer.read_all(near));
        assert!(right == sent && left == sent, "{listen}");
        for writer in writers {
            writer.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_session_ends_its_link_in_order_at_both_ends() {
    for listen in LISTEN {
        let pair = pair(listen).await;
        let near = pair.dialer.open();
        pair.dialer.write(near, Bytes::from_static(b"hello")).await;
        pair.listener.accept().await;
        pair.dialer.with(|session, now| session.close(Code::NO_ERROR, "done", now));
        let (near, far) = tokio::join!(pair.dialer.loss(), pair.listener.loss());
        for loss in [near, far] {
            assert!(matches!(loss, LinkLoss::Local | LinkLoss::Closed), "{listen}: {loss:?}");
        }
    }
}
