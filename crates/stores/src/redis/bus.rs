//! The bus over Redis: everything is published on one channel, and a connection of its own listens to it.

use crate::hub::{Core, Hub, Outgoing};
use crate::link::Backoff;
use crate::redis::link::{CONNECT_MAX, LOOK, Link};
use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use redis::cmd;
use std::sync::Arc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tutti_engine::ports::bus::Call;

/// As it is called in the link's condition.
const PART: &str = "subscription";

/// Starts to say and to hear.
pub(super) fn start(link: &Arc<Link>) -> Hub {
    link.health.expect(PART);
    let core = Core::new(Arc::clone(&link.health));
    let says = tokio::spawn(say(Arc::clone(link), Arc::clone(&core))).abort_handle();
    let hears = tokio::spawn(hear(Arc::clone(link), Arc::clone(&core))).abort_handle();
    Hub::new(core, vec![says, hears])
}

fn channel(link: &Link) -> String {
    format!("{}:bus", link.prefix)
}

/// Publishes what is said here. What cannot be published is lost; once it is possible again, all others are told to look.
async fn say(link: Arc<Link>, core: Arc<Core>) {
    let (mut outgoing, mut is_up) = (Outgoing::of(&core), link.is_up.subscribe());
    let (channel, mut has_lost) = (channel(&link), false);
    loop {
        tokio::select! {
            texts = outgoing.next() => {
                for text in texts {
                    let published = link.ask::<()>(cmd("PUBLISH").arg(&channel).arg(text)).await;
                    has_lost |= published.is_none();
                }
            }
            changed = is_up.changed() => {
                if changed.is_err() {
                    return;
                }
                if *is_up.borrow_and_update() && std::mem::take(&mut has_lost) {
                    core.say(Call::Look);
                }
            }
        }
    }
}

/// Hears what others publish, and connects again for ever.
async fn hear(link: Arc<Link>, core: Arc<Core>) {
    let (mut backoff, mut was_up) = (Backoff::new(), false);
    loop {
        let reason = match timeout(CONNECT_MAX * 2, subscribe(&link)).await {
            Ok(Ok((sink, stream))) => {
                core.health.set(PART, Ok(()));
                backoff.reset();
                // What was said meanwhile was said to nobody here.
                if std::mem::replace(&mut was_up, true) {
                    core.missed();
                }
                follow(&core, sink, stream).await
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => "it takes connections and does not answer".into(),
        };
        core.health.set(PART, Err(reason));
        sleep(backoff.pause()).await;
    }
}

async fn subscribe(link: &Link) -> redis::RedisResult<(PubSubSink, PubSubStream)> {
    let (mut sink, stream) = link.client.get_async_pubsub().await?.split();
    sink.subscribe(channel(link)).await?;
    Ok((sink, stream))
}

/// Hears until the connection is lost; says why. A connection that only hears cannot tell silence from death, so it asks.
async fn follow(core: &Core, mut sink: PubSubSink, mut stream: PubSubStream) -> String {
    let mut look_at = Instant::now() + LOOK;
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(message) = message else { return "the connection has ended".into() };
                core.hear(&String::from_utf8_lossy(message.get_payload_bytes()));
            }
            () = sleep_until(look_at) => {
                match timeout(CONNECT_MAX, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => look_at = Instant::now() + LOOK,
                    Ok(Err(e)) => return e.to_string(),
                    Err(_) => return format!("no answer within {} s", CONNECT_MAX.as_secs()),
                }
            }
        }
    }
}
