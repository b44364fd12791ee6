//! Files: what is read of them, and what broken and hostile ones come to.

use super::{HELP, found};
use flate2::write::ZlibEncoder;
use flate2::{Compression, FlushCompress, Status};
use serde_json::{Value, json};
use std::io::Write as _;
use tutti_tests::client::{Answer, Client};
use tutti_tests::process::Process;
use tutti_tests::server::{Server, tutti};

const LINE: &str = "a-line-that-stands-in-no-part";

/// Sends a form; a part with a file name is a file.
async fn send(client: &Client, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        write!(body, "--{LINE}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").unwrap();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    write!(body, "--{LINE}--\r\n").unwrap();
    let call = client.call(reqwest::Method::POST, "/v1/documents").body(body);
    call.header("content-type", format_args!("multipart/form-data; boundary={LINE}")).await
}

async fn file(client: &Client, name: &str, bytes: &[u8]) -> Answer {
    send(client, &[("file", Some(name), bytes)]).await
}

/// A PDF of one page whose content is this stream.
fn pdf(filter: &str, content: &[u8]) -> Vec<u8> {
    let mut stream = format!("<< /Length {}{filter} >>\nstream\n", content.len()).into_bytes();
    stream.extend_from_slice(content);
    stream.extend_from_slice(b"\nendstream");
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>";
    let objects: [&[u8]; 5] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page.as_bytes(),
        &stream,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ];
    let (mut out, mut table) = (b"%PDF-1.4\n".to_vec(), "0000000000 65535 f \n".to_owned());
    for (n, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", out.len());
        writeln!(out, "{} 0 obj", n + 1).unwrap();
        out.extend_from_slice(object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let at = out.len();
    writeln!(out, "xref\n0 6\n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{at}\n%%EOF").unwrap();
    out
}

/// Zlib data that inflates to so many MiB of spaces: a MiB again and again, each with a dictionary of its own.
fn bomb(mib: usize) -> Vec<u8> {
    let mut compress = flate2::Compress::new(Compression::best(), true);
    let mut out = Vec::with_capacity(1 << 20);
    let status = compress.compress_vec(&vec![b' '; 1 << 20], &mut out, FlushCompress::Full).unwrap();
    assert_eq!(status, Status::Ok);
    let (head, piece) = out.split_at(2);
    let mut all = head.to_vec();
    (0..mib).for_each(|_| all.extend_from_slice(piece));
    all
}

#[tokio::test]
async fn files_of_every_kind_are_read() {
    let server = Server::start().await;
    let client = server.client();
    let html = "<html><head><title>Opening hours</title><script>alert('stolen')</script><style>b{}</style></head>
        <body onload='steal()'><h1>Hours</h1><p>We open at <b>nine</b>.</p><script>document.write('stolen')</script></body>";
    let mut inflated = ZlibEncoder::new(Vec::new(), Compression::default());
    inflated.write_all(b"BT /F1 12 Tf 72 700 Td (Refunds arrive within ten working days.) Tj ET").unwrap();
    let refunds = pdf(" /Filter /FlateDecode", &inflated.finish().unwrap());
    for (name, bytes, title) in [
        ("help.md", HELP.as_bytes(), "Lost cards"),
        ("hours.html", html.as_bytes(), "Opening hours"),
        ("notes.txt", b"\xef\xbb\xbfParking is behind the house.\r\n".as_slice(), "notes.txt"),
        ("refunds.pdf", refunds.as_slice(), "refunds.pdf"),
    ] {
        let kept = file(&client, name, bytes).await.expect(201).json();
        assert_eq!((&kept["id"], &kept["title"]), (&json!(name), &json!(title)));
        file(&client, name, bytes).await.expect(200);
    }
    for (question, id) in [
        ("transfers abroad", "help.md"),
        ("when do you open?", "hours.html"),
        ("parking", "notes.txt"),
        ("refund", "refunds.pdf"),
    ] {
        assert_eq!(found(&client, question).await, [id], "{question}");
    }
    assert!(found(&client, "stolen").await.is_empty(), "scripts are no text");
    let document = client.get("/v1/documents/hours.html").await.expect(200).json();
    assert_eq!(document["content"], "# Hours\n\nWe open at nine.");
    let parts: [(&str, Option<&str>, &[u8]); 4] = [
        ("id", None, b"x"),
        ("title", None, b"Mine"),
        ("metadata", None, br#"{"lang":"en"}"#),
        ("file", Some("C:\\temp\\..\\a.txt"), b"text"),
    ];
    let kept = send(&client, &parts).await.expect(201).json();
    assert!(kept["id"] == "x" && kept["title"] == "Mine" && kept["metadata"]["lang"] == "en", "{kept}");
    let kept = file(&client, "../../etc/passwd.txt", b"root").await.expect(201).json();
    assert_eq!(kept["id"], "passwd.txt", "a path of theirs is none of ours");
}

#[tokio::test]
async fn broken_and_hostile_files_are_refused_and_nothing_else_suffers() {
    let server = Server::start().await;
    let client = server.client();
    let rubbish: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut broken = b"%PDF-1.7\n".to_vec();
    broken.extend_from_slice(&rubbish);
    let deep = pdf("", &[b"[".repeat(200_000), b"]".repeat(200_000)].concat());
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("a.exe", rubbish.clone(), "is no file that can be read"),
        ("a.txt", rubbish, "no text"),
        ("a.pdf", broken, "the PDF"),
        ("b.pdf", b"hello".to_vec(), "it is no PDF"),
        ("c.pdf", pdf(" /Filter /FlateDecode", &bomb(2_000)), "more memory or time"),
        ("d.pdf", deep, "the PDF"),
        ("e.md", b"  \n".to_vec(), "no text in it"),
        ("f.html", b"<script>x()</script>".to_vec(), "no text in it"),
    ];
    for (name, bytes, why) in cases {
        let details = file(&client, name, &bytes).await.expect(422).details();
        let [(place, said)] = details.as_slice() else { panic!("{name}: {details:?}") };
        assert!(place == "body.file" && said.contains(why), "{name}: {place}: {said}");
    }
    // Refused at once: a sender who goes on may find the connection closed before the answer is read.
    let big = client.call(reqwest::Method::POST, "/v1/documents").body(vec![b'a'; 17 << 20]);
    if let Ok(answer) = big.header("content-type", "multipart/form-data; boundary=x").attempt().await {
        answer.expect(413);
    }
    let long = "word ".repeat(500_000);
    let said = file(&client, "long.txt", long.as_bytes()).await.expect(422).details();
    assert!(said[0].1.contains("more than 2000000 characters"), "{said:?}");
    let parts: [(&str, Option<&str>, &[u8]); 3] =
        [("fil", Some("a.txt"), b"x"), ("metadata", None, b"{"), ("id", None, &b"x".repeat(300))];
    assert_eq!(send(&client, &parts).await.expect(422).wrong(), ["body.fil", "body.metadata", "body.file"]);
    for (kind, status) in [("multipart/form-data", 400), ("multipart/form-data; boundary=x", 400), ("text/plain", 415)]
    {
        let call = client.call(reqwest::Method::POST, "/v1/documents").body("hello").header("content-type", kind);
        call.await.expect(status);
    }
    assert_eq!(client.get("/v1/documents").await.expect(200).json()["items"], json!([]));
    let health = client.get("/health").await.expect(200).json();
    assert_eq!(health["status"], "healthy");
}

#[tokio::test]
async fn files_are_added_listed_searched_and_deleted_from_the_terminal() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("handbook")).unwrap();
    std::fs::write(dir.path().join("handbook/cards.md"), HELP).unwrap();
    std::fs::write(dir.path().join("handbook/bad.pdf"), "no").unwrap();
    std::fs::write(dir.path().join("one.txt"), "Parking is behind the house.").unwrap();
    let run = async |args: &[&str]| Process::run(tutti(dir.path(), args).env("TUTTI_URL", server.url())).await;
    let added = run(&["documents", "add", "handbook", "one.txt", "--metadata", "team=desk"]).await;
    assert_eq!((added.code, added.stdout.lines().count()), (Some(1), 2), "{added:?}");
    assert!(added.stderr.contains("bad.pdf") && added.stderr.contains("1 of 3 files were not kept"), "{added:?}");
    let found = run(&["search", "lost card", "--limit", "1"]).await;
    assert!(found.stdout.contains("[1] Lost cards  cards.md, characters 0-"), "{found:?}");
    let found: Value = serde_json::from_str(&run(&["search", "parking", "--json"]).await.stdout).unwrap();
    assert_eq!(found["items"][0]["document_id"], "one.txt");
    assert!(run(&["search", "zebra"]).await.stderr.contains("nothing was found"));
    let listed = run(&["documents", "list"]).await;
    assert!(listed.stdout.contains("cards.md") && listed.stdout.contains("PASSAGES"), "{listed:?}");
    assert!(run(&["documents", "get", "one.txt"]).await.stdout.contains("behind the house"));
    assert_eq!(run(&["documents", "delete", "one.txt"]).await.code, Some(0));
    assert_eq!(run(&["documents", "get", "one.txt"]).await.code, Some(1));
    assert_eq!(run(&["documents", "add", "nowhere.txt"]).await.code, Some(2));
}
