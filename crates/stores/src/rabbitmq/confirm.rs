//! What publishers have alike: many messages at a time, each confirmed.

use crate::link::Health;
use crate::rabbitmq::broker::{Broker, LOOK, WORD_MAX};
use crate::rabbitmq::keep::Link;
use futures_util::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use std::time::Duration;

/// A message for a queue.
pub(super) struct Message<'a> {
    pub queue: &'a str,
    pub body: &'a [u8],
    pub properties: BasicProperties,
}

/// Properties of a message that outlives the broker.
pub(super) fn persistent(content_type: &str, priority: u8) -> BasicProperties {
    let persistent = 2;
    BasicProperties::default()
        .with_delivery_mode(persistent)
        .with_priority(priority)
        .with_content_type(content_type.into())
}

/// Publishes messages and awaits their confirms; answers those that found no queue. A broker that is short of memory is waited for:
/// a new connection would not move it either.
///
/// # Errors
/// Why the connection is of no use any more. Any of the messages may have arrived.
pub(super) async fn publish(
    broker: &Broker,
    (health, part): (&Health, &str),
    messages: Vec<Message<'_>>,
) -> Result<Vec<Delivery>, String> {
    let publishing = send(&broker.channel, messages);
    tokio::pin!(publishing);
    let (mut was_blocked, mut waited) = (false, Duration::ZERO);
    loop {
        tokio::select! {
            sent = &mut publishing => {
                if was_blocked && sent.is_ok() {
                    health.set(part, Ok(()));
                }
                return sent;
            }
            () = tokio::time::sleep(LOOK) => waited += LOOK,
        }
        if broker.is_blocked() {
            (was_blocked, waited) = (true, Duration::ZERO);
            health.set(part, Err("it is short of memory or disk and takes no messages".into()));
        } else if waited >= WORD_MAX {
            return Err(format!("no confirm within {} s", WORD_MAX.as_secs()));
        }
    }
}

/// Waits for something to publish, once there is nothing; says goodbye and answers false when all is closed.
///
/// # Errors
/// Why the connection is of no use any more.
pub(super) async fn wait(link: &Link, broker: &Broker, came: impl Future<Output = ()>) -> Result<bool, String> {
    if link.is_closing() {
        broker.close().await;
        return Ok(false);
    }
    tokio::select! {
        () = came => {}
        () = link.closed() => {}
        reason = broker.lost() => return Err(reason),
    }
    Ok(true)
}

async fn send(channel: &Channel, messages: Vec<Message<'_>>) -> Result<Vec<Delivery>, String> {
    // What nobody would get must come back, or a deleted queue would swallow it in silence.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = messages.into_iter().map(|Message { queue, body, properties }| {
        channel.basic_publish("".into(), queue.into(), options, body, properties)
    });
    let confirms = try_join_all(sent).await.map_err(|e| e.to_string())?;
    let mut returned = Vec::new();
    for confirm in try_join_all(confirms).await.map_err(|e| e.to_string())? {
        if confirm.is_nack() {
            return Err("it could not keep what was published".into());
        }
        // The library does not say which message it belongs to: that has to stand in it.
        returned.extend(confirm.take_message().map(|message| message.delivery));
    }
    Ok(returned)
}
