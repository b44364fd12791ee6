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

    /// Makes the durable queue of an agent's jobs where it is not there, as its workers may.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn declare_jobs(&mut self, queue: &str) -> Result<()> {
        let kind = [short("x-queue-type"), vec![b'S'], long("classic")].concat();
        let priority = [short("x-max-priority"), vec![b'I'], 9_i32.to_be_bytes().to_vec()].concat();
        let durable = 2;
        let arguments = table(&[kind, priority].concat());
        self.say(1, (50, 10), &[vec![0, 0], short(queue), vec![durable], arguments].concat()).await?;
        self.answer(1, (50, 11)).await.map(|_| ())
    }

    /// Begins to be sent the messages of a queue, one at a time. From then on the connection is for [`next`](Self::next) and
    /// [`ack`](Self::ack) alone.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn consume(&mut self, queue: &str) -> Result<()> {
        let one = 1_u16.to_be_bytes();
        self.say(1, (60, 10), &[&[0; 4][..], &one, &[0]].concat()).await?;
        self.answer(1, (60, 11)).await?;
        self.say(1, (60, 20), &[vec![0, 0], short(queue), short(""), vec![0], table(&[])].concat()).await?;
        self.answer(1, (60, 21)).await.map(|_| ())
    }

    /// The next message, for as long as it takes: its tag and what it says.
    ///
    /// # Errors
    /// What the broker said, or the network.
    pub async fn next(&mut self) -> Result<(u64, Vec<u8>)> {
        let (_, method) = self.read().await?;
        let deliver = [60_u16.to_be_bytes(), 60_u16.to_be_bytes()].concat();
        let said = || Error::other(format!("RabbitMQ sent {:?}", String::from_utf8_lossy(&method)));
        let arguments = method.strip_prefix(&deliver[..]).ok_or_else(said)?;
        let from = 1 + usize::from(*arguments.first().ok_or(ErrorKind::InvalidData)?);
        let tag = arguments.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
        let tag = u64::from_be_bytes(tag.ok_or(ErrorKind::InvalidData)?);
        let (_, header) = self.read().await?;
        let size = header.get(4..12).and_then(|bytes| bytes.try_into().ok());
        let size = u64::from_be_bytes(size.ok_or(ErrorKind::InvalidData)?);
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            body.extend(self.read().await?.1);
        }
        Ok((tag, body))
    }

    /// Says that a message is done with.
    ///
    /// # Errors
    /// What the network said.
    pub async fn ack(&mut self, tag: u64) -> Result<()> {
        self.say(1, (60, 80), &[&tag.to_be_bytes()[..], &[0]].concat()).await
    }

    /// Puts a message that outlives the broker into a queue, and waits until the broker has seen it.
    ///
    /// # Errors
    /// What the network said.
    pub async fn publish(&mut self, queue: &str, body: &[u8]) -> Result<()> {
        self.say(1, (60, 40), &[vec![0, 0], short(""), short(queue), vec![0]].concat()).await?;
        let (size, persistent) = ((body.len() as u64).to_be_bytes(), [0x10, 0, 2]);
        self.frame(HEADER, 1, &[&60_u16.to_be_bytes()[..], &[0, 0], &size, &persistent].concat()).await?;
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
            let (head, mut said) = self.read().await?;
            let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
            if head == (METHOD, channel) && said.starts_with(&expected) {
                return Ok(said.split_off(4));
            }
            let said = String::from_utf8_lossy(&said).into_owned();
            Err(Error::other(format!("RabbitMQ answered {said:?} instead of {class}.{method}")))
        })
        .await
    }

    /// The next frame that says something: its kind and channel, and what it says.
    async fn read(&mut self) -> Result<((u8, u16), Vec<u8>)> {
        loop {
            let mut head = [0; 7];
            self.stream.read_exact(&mut head).await?;
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let mut rest = vec![0; size + 1];
            self.stream.read_exact(&mut rest).await?;
            rest.truncate(size);
            if head[0] != HEARTBEAT {
                return Ok(((head[0], u16::from_be_bytes([head[1], head[2]])), rest));
            }
        }
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
