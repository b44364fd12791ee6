//! A server of a few prepared answers, one a connection, that remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub struct Fake {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: JoinHandle<()>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET /path`.
    pub line: String,
    /// Header lines in lower case.
    pub headers: String,
    pub body: String,
}

impl Fake {
    /// Answers the first request with the first answer, and so on; then it is gone.
    pub fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let here = url.clone();
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                seen.lock().unwrap().push(read(&mut BufReader::new(&stream)));
                stream.write_all(answer.replace("{url}", &here).as_bytes()).unwrap();
            }
        });
        Self { url, asked, thread }
    }

    /// All requests, once every answer was given.
    pub fn asked(self) -> Vec<Asked> {
        self.thread.join().unwrap();
        let asked = self.asked.lock().unwrap();
        asked.clone()
    }
}

fn read(from: &mut impl BufRead) -> Asked {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        from.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        let header = header.to_lowercase();
        if let Some(n) = header.strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        headers.push_str(&header);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    Asked { line, headers, body: String::from_utf8(body).unwrap() }
}

/// A JSON answer.
pub fn json(status: u16, body: &str) -> String {
    answer(status, "application/json", "", body)
}

/// A stream that breaks off behind `body`; with `location` as the place to resume.
pub fn stream(location: Option<&str>, body: &str) -> String {
    let location = location.map_or_else(String::new, |l| format!("location: {l}\r\n"));
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{location}connection: close\r\n\r\n{body}")
}

pub fn answer(status: u16, kind: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
