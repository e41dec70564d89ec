//! Memory of sessions that do nothing.

use std::{any::Any, process, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use crate::{
    HANDSHAKES,
    case::{Measurement, Plan},
    client::Client,
    memory,
};

type Sessions = Vec<Box<dyn Any + Send>>;

/// How much both processes grow by a session. All sessions live until the client ends.
pub(super) async fn measure<C: Client>(
    client: &Arc<C>,
    plan: &Plan,
    server: u32,
) -> Result<Measurement> {
    let pids = [server, process::id()];
    let unknown = "the system does not tell the memory of processes";
    // The first sessions also pay for what all share.
    let mut sessions = open(client, HANDSHAKES).await?;
    client.prepare(plan.sessions).await?;
    let before = memory::settled(pids).await.context(unknown)?;
    sessions.extend(open(client, plan.sessions).await?);
    let after = memory::settled(pids).await.context(unknown)?;
    let growth = |end: usize| after[end].saturating_sub(before[end]) as f64;
    let each = |end: usize| growth(end) / 1024.0 / plan.sessions as f64;
    let count = plan.sessions as u64;
    drop(sessions);
    Ok(Measurement { value: each(0), count, client: Some(each(1)), ..Measurement::default() })
}

async fn open<C: Client>(client: &Arc<C>, count: usize) -> Result<Sessions> {
    let mut tasks = JoinSet::new();
    for lane in 0..HANDSHAKES {
        let client = Arc::clone(client);
        let share = (lane..count).step_by(HANDSHAKES).len();
        tasks.spawn(async move {
            let mut sessions = Sessions::with_capacity(share);
            for _ in 0..share {
                sessions.push(client.session().await?);
            }
            Ok::<_, anyhow::Error>(sessions)
        });
    }
    let mut sessions = Sessions::with_capacity(count);
    while let Some(opened) = tasks.join_next().await {
        sessions.extend(opened??);
    }
    Ok(sessions)
}
