use super::*;
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Addresses that must never be called, each a way somebody once got around such a check.
const FORBIDDEN: &[&str] = &[
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/x",
    "https://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127.255.255.254/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://0xa.0.0.1/",
    "http://167772161/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://3232235777/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://169.254.1.1/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::8.8.8.8]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:53aa:64c::1]/",
    "http://[2001:db8::1]/",
    "http://[2001:10::1]/",
    "http://[3fff::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[4000::1]/",
    "http://[5f00::1]/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://user@8.8.8.8/",
    "http://user:pw@example.com/",
    "http://example.com@127.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1?@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://exa\nmple.com/",
    " http://example.com/",
    "http://example.com/ ",
    "http:///127.0.0.1/",
    "http://[fe80::1%25eth0]/",
    "http://[::1",
    "http://",
    "//example.com/",
    "example.com",
    "",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com:70/_x",
    "data:text/plain,x",
    "javascript:alert(1)",
    "ws://example.com/",
    "unix:/run/docker.sock",
    "HTTP+UNIX://x/",
    "http://256.1.1.1/",
    "http://1.2.3.4.5/",
    "http://example.com:99999/",
];

fn get(url: impl Into<String>) -> OutRequest {
    OutRequest {
        method: Method::GET,
        url: url.into(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        idle: Duration::from_secs(20),
        body_bytes_max: 1 << 20,
    }
}

fn open_loopback() -> Egress {
    Egress::new(EgressPolicy::parse("127.0.0.0/8", &[]).unwrap())
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Reads one request's head.
async fn head(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await.unwrap() == 0 {
            break;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

async fn all(response: OutResponse) -> Result<Vec<u8>, OutError> {
    response
        .body
        .try_fold(Vec::new(), |mut text, piece| async move {
            text.extend_from_slice(&piece);
            Ok(text)
        })
        .await
}

#[test]
fn forbidden_addresses_are_refused_before_anything_is_sent() {
    assert!(FORBIDDEN.len() >= 60);
    let egress = Egress::new(EgressPolicy::default());
    for url in FORBIDDEN {
        assert!(matches!(egress.check(url), Err(OutError::Refused { .. })), "{url}");
    }
}

#[test]
fn public_opened_and_configured_addresses_are_allowed() {
    let policy =
        EgressPolicy::parse("10.1.0.0/16, wiki.internal,::1", &["http://127.0.0.1:9000/v1", "https://llm.lan"]);
    let egress = Egress::new(policy.unwrap());
    for url in [
        "https://example.com/",
        "http://8.8.8.8/",
        "http://[2606:4700::1111]/",
        "http://10.1.2.3/",
        "http://wiki.internal/",
        "http://WIKI.internal.:8080/x",
        "http://[::1]:1/",
        "http://127.0.0.1:9000/v1/chat?x=1",
        "https://llm.lan/any",
        "https://llm.lan:443/",
        "HTTPS://EXAMPLE.COM/",
    ] {
        assert_eq!(egress.check(url), Ok(()), "{url}");
    }
    for url in [
        "http://10.2.0.1/",
        "http://127.0.0.1:9001/",
        "https://127.0.0.1:9000/",
        "http://[::ffff:10.1.2.3]/",
        "https://u:p@llm.lan/x",
    ] {
        assert!(egress.check(url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn names_of_this_machine_are_refused_when_they_resolve() {
    let private = fixed(&["[::ffff:10.0.0.1]:0", "[fe80::1]:0", "127.0.0.1:0"]);
    for (lookup, url) in [(resolve::system(), "http://localhost/?token=s3cret"), (private, "http://evil.test./?s3cret")]
    {
        let egress = Egress::with_lookup(EgressPolicy::default(), lookup);
        let error = egress.send(get(url)).await.err().unwrap();
        assert!(matches!(error, OutError::Refused { .. }), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

fn fixed(addresses: &'static [&'static str]) -> Lookup {
    Arc::new(move |_| Box::pin(async move { Ok(addresses.iter().map(|a| a.parse().unwrap()).collect()) }))
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_checked_at_every_connection() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await.unwrap();
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let last = if counter.fetch_add(1, Ordering::SeqCst) == 0 { 2 } else { 1 };
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))]) })
    });
    let egress = Egress::with_lookup(EgressPolicy::parse("127.0.0.2", &[]).unwrap(), lookup);
    let first = egress.send(get(format!("http://rebind.test:{port}/"))).await.unwrap();
    assert_eq!(all(first).await.unwrap(), b"ok");
    server.await.unwrap();
    let second = egress.send(get(format!("http://rebind.test:{port}/"))).await.err().unwrap();
    assert!(matches!(second, OutError::Refused { .. }), "{second}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one resolution per connection");
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_are_tried() {
    let (listener, url) = listen().await;
    let port = listener.local_addr().unwrap().port();
    drop(url);
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    let policy = EgressPolicy::parse("127.0.0.1", &[]).unwrap();
    let egress = Egress::with_lookup(policy, fixed(&["127.0.0.9:0", "10.0.0.1:0", "127.0.0.1:0"]));
    assert_eq!(egress.send(get(format!("http://many.test:{port}/"))).await.unwrap().status, 204);
    server.await.unwrap();
}

#[tokio::test]
async fn redirects_are_answers_not_orders() {
    let (listener, url) = listen().await;
    let (trap, trap_url) = listen().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        head(&mut socket).await;
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {trap_url}/\r\ncontent-length: 0\r\n\r\n");
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    let response = open_loopback().send(get(url)).await.unwrap();
    assert_eq!(response.status, 302);
    server.await.unwrap();
    assert!(futures_util::FutureExt::now_or_never(trap.accept()).is_none(), "nobody called the other address");
}

#[tokio::test]
async fn a_body_over_its_bound_is_cut() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        // An endless body: ends when the client hangs up.
        while socket.write_all(b"400\r\n").await.is_ok()
            && socket.write_all(&[b'x'; 1024]).await.is_ok()
            && socket.write_all(b"\r\n").await.is_ok()
        {}
    });
    let mut request = get(url);
    request.body_bytes_max = 10_000;
    let error = all(open_loopback().send(request).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, OutError::TooLarge { bytes_max: 10_000, .. }), "{error}");
    server.await.unwrap();
}

#[tokio::test]
async fn silence_before_and_within_an_answer_is_bounded() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let (mut silent, _) = listener.accept().await.unwrap();
        head(&mut silent).await;
        let (mut stalling, _) = listener.accept().await.unwrap();
        head(&mut stalling).await;
        stalling.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
        let mut rest = Vec::new();
        (silent.read_to_end(&mut rest).await.unwrap(), stalling.read_to_end(&mut rest).await.unwrap())
    });
    let egress = open_loopback();
    let mut request = get(format!("{url}/?key=s3cret"));
    request.idle = Duration::from_millis(50);
    let error = egress.send(request.clone()).await.err().unwrap();
    assert!(matches!(error, OutError::Timeout { ms: 50, .. }), "{error}");
    request.idle = Duration::from_millis(250);
    let mut body = egress.send(request).await.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), "abc");
    let error = body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, OutError::Timeout { ms: 250, .. }), "{error}");
    assert!(body.next().await.is_none(), "a failed body ends");
    assert!(!error.to_string().contains("s3cret"));
    assert_eq!(server.await.unwrap(), (0, 0), "both sockets were closed");
}

#[tokio::test]
async fn dropping_the_call_or_the_body_closes_the_socket() {
    let (listener, url) = listen().await;
    let (reached, was_reached) = oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut unanswered, _) = listener.accept().await.unwrap();
        head(&mut unanswered).await;
        reached.send(()).unwrap();
        let mut rest = Vec::new();
        let first = unanswered.read_to_end(&mut rest).await.unwrap();
        let (mut streaming, _) = listener.accept().await.unwrap();
        head(&mut streaming).await;
        streaming.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await.unwrap();
        (first, streaming.read_to_end(&mut rest).await.unwrap())
    });
    let egress = open_loopback();
    let call = tokio::spawn(egress.send(get(url.clone())));
    was_reached.await.unwrap();
    call.abort();
    assert!(call.await.err().unwrap().is_cancelled());
    let mut body = egress.send(get(url)).await.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), "abc");
    drop(body);
    assert_eq!(server.await.unwrap(), (0, 0));
}

#[tokio::test]
async fn connections_are_reused_and_headers_and_body_arrive() {
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heads = Vec::new();
        for _ in 0..3 {
            heads.push(head(&mut socket).await);
            let mut body = [0; 5];
            socket.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-tag: 1\r\n\r\nok").await.unwrap();
        }
        heads
    });
    let egress = open_loopback();
    for _ in 0..3 {
        let mut request = get(format!("{url}/a?b=c"));
        request.method = Method::POST;
        request.body = Bytes::from_static(b"hello");
        request.headers.insert("idempotency-key", http::HeaderValue::from_static("r/s"));
        let response = egress.send(request).await.unwrap();
        assert_eq!((response.status, response.headers["x-tag"].as_bytes()), (200, b"1".as_slice()));
        assert_eq!(all(response).await.unwrap(), b"ok");
    }
    for head in server.await.unwrap() {
        assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("idempotency-key: r/s\r\n") && head.contains("user-agent: tutti/"), "{head}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_or_read_is_named_without_the_query() {
    let (listener, url) = listen().await;
    let egress = open_loopback();
    let server = tokio::spawn(async move {
        for answer in ["SSH-2.0-x\r\n\r\n".to_owned(), format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000))]
        {
            let (mut socket, _) = listener.accept().await.unwrap();
            head(&mut socket).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
        let (socket, _) = listener.accept().await.unwrap();
        drop(socket);
    });
    for _ in 0..3 {
        let error = egress.send(get(format!("{url}/?key=s3cret"))).await.err().unwrap();
        assert!(matches!(error, OutError::Broken { .. }), "{error:?}");
        assert!(error.is_retryable() && !format!("{error:?}").contains("s3cret"), "{error:?}");
    }
    server.await.unwrap();
    let error = egress.send(get(format!("{url}/?key=s3cret"))).await.err().unwrap();
    assert!(matches!(error, OutError::Connect { .. }), "the listener is gone: {error:?}");
    let (plain, url) = listen().await;
    let server = tokio::spawn(async move { plain.accept().await.unwrap().0.write_all(b"no TLS here").await });
    let error = egress.send(get(url.replace("http:", "https:"))).await.err().unwrap();
    assert!(matches!(error, OutError::Connect { .. }), "{error:?}");
    server.await.unwrap().unwrap();
    assert!(!format!("{error:?}").contains("s3cret"));
    let unresolved = Egress::with_lookup(
        EgressPolicy::default(),
        Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) })),
    );
    let error = unresolved.send(get("http://nowhere.test/")).await.err().unwrap();
    assert_eq!(error, OutError::Connect { host: "nowhere.test".into(), reason: "no such name".into() });
}
