//! As little of AMQP 0-9-1 as a hand at the broker needs: what a person would do in its console while the program runs. Written by
//! hand, because the broker's client crate stays behind its wall.

use crate::in_time;
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;

/// A connection with one open channel.
#[derive(Debug)]
pub struct Amqp {
    stream: TcpStream,
}

impl Amqp {
    /// Opens a connection as `guest` on the default virtual host.
    ///
    /// # Errors
    /// What the network said.
    pub async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut this = Self { stream };
        this.stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        this.answer(0, (10, 10)).await?;
        let mut start_ok = table(&[]);
        start_ok.extend(short("PLAIN"));
        start_ok.extend(long("\0guest\0guest"));
        start_ok.extend(short("en_US"));
        this.say(0, (10, 11), &start_ok).await?;
        let tune = this.answer(0, (10, 30)).await?;
        // What it offers, without heartbeats.
        let offered = tune.get(..6).ok_or(ErrorKind::InvalidData)?;
        this.say(0, (10, 31), &[offered, &[0, 0]].concat()).await?;
        this.say(0, (10, 40), &[short("/"), vec![0, 0]].concat()).await?;
        this.answer(0, (10, 41)).await?;
        this.say(1, (20, 10), &[0]).await?;
        this.answer(1, (20, 11)).await?;
        Ok(this)
    }

    /// Deletes a queue with all that waits in it; whether or not somebody consumes from it, or it is there.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn delete(&mut self, queue: &str) -> Result<()> {
        self.say(1, (50, 40), &[vec![0, 0], short(queue), vec![0]].concat()).await?;
        self.answer(1, (50, 41)).await?;
        Ok(())
    }

    /// How many messages wait in a queue that nobody holds.
    ///
    /// # Errors
    /// What the broker said, if there is no such queue.
    pub async fn count(&mut self, queue: &str) -> Result<u32> {
        let passive = 1;
        self.say(1, (50, 10), &[vec![0, 0], short(queue), vec![passive], table(&[])].concat()).await?;
        let declared = self.answer(1, (50, 11)).await?;
        let from = 1 + usize::from(*declared.first().ok_or(ErrorKind::InvalidData)?);
        let count = declared.get(from..from + 4).and_then(|bytes| bytes.try_into().ok());
        Ok(u32::from_be_bytes(count.ok_or(ErrorKind::InvalidData)?))
    }

    /// Puts a message into a queue, and waits until the broker has seen it.
    ///
    /// # Errors
    /// What the network said.
    pub async fn publish(&mut self, queue: &str, body: &[u8]) -> Result<()> {
        self.say(1, (60, 40), &[vec![0, 0], short(""), short(queue), vec![0]].concat()).await?;
        let size = (body.len() as u64).to_be_bytes();
        self.frame(HEADER, 1, &[&60_u16.to_be_bytes()[..], &[0, 0], &size, &[0, 0]].concat()).await?;
        if !body.is_empty() {
            self.frame(BODY, 1, body).await?;
        }
        // A question on the same channel is answered after it.
        self.count(queue).await.map(|_| ())
    }

    async fn say(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) -> Result<()> {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Result<()> {
        let size = u32::try_from(payload.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let frame = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[END]].concat();
        self.stream.write_all(&frame).await
    }

    /// The arguments of the method that must come next.
    async fn answer(&mut self, channel: u16, (class, method): (u16, u16)) -> Result<Vec<u8>> {
        in_time("RabbitMQ's answer", async {
            loop {
                let mut head = [0; 7];
                self.stream.read_exact(&mut head).await?;
                let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
                let mut rest = vec![0; size + 1];
                self.stream.read_exact(&mut rest).await?;
                rest.truncate(size);
                if head[0] == HEARTBEAT {
                    continue;
                }
                let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
                let is_it = head[0] == METHOD && u16::from_be_bytes([head[1], head[2]]) == channel;
                if is_it && rest.starts_with(&expected) {
                    return Ok(rest.split_off(4));
                }
                let said = String::from_utf8_lossy(&rest).into_owned();
                return Err(Error::other(format!("RabbitMQ answered {said:?} instead of {class}.{method}")));
            }
        })
        .await
    }
}

fn short(text: &str) -> Vec<u8> {
    let size = u8::try_from(text.len()).expect("a short string has at most 255 bytes");
    [&[size], text.as_bytes()].concat()
}

fn long(text: &str) -> Vec<u8> {
    let size = u32::try_from(text.len()).expect("a test's string is short");
    [&size.to_be_bytes(), text.as_bytes()].concat()
}

fn table(fields: &[u8]) -> Vec<u8> {
    let size = u32::try_from(fields.len()).expect("a test's table is short");
    [&size.to_be_bytes(), fields].concat()
}
