//! The text of a PDF, read in a process of its own.
//!
//! A PDF is a program for somebody else's machine: it may inflate to any size, nest until the stack ends, or keep a reader busy for
//! ever, and a thread cannot be stopped. So this program starts itself once more, with nothing of the environment and little memory
//! and time ([`extract`] in the child, which bounds itself before it reads), and what goes wrong there ends there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use tokio::sync::Semaphore;

/// Most bytes of a child's answer.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Room for PDFs that nest deeply, in bytes.
const STACK_BYTES: usize = 256 << 20;
/// Children at once.
static ROOM: Semaphore = Semaphore::const_new(2);

/// How this program is started to read a PDF from its standard input.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// A child's last line. Before it stands what libraries had to say.
#[derive(Debug, Serialize, Deserialize)]
struct Answer(Result<String, String>);

/// The text of a PDF; without a reader it is read in this process.
pub(super) async fn read(bytes: Bytes, reader: Option<&Reader>) -> Result<String, String> {
    // Some begin with a mail's headers or a mark of byte order.
    if !bytes[..bytes.len().min(1_024)].windows(5).any(|five| five == b"%PDF-") {
        return Err("it is no PDF: it does not begin as one".into());
    }
    let reader = reader.cloned();
    let _room = ROOM.acquire().await.map_err(|e| e.to_string())?;
    let read = tokio::task::spawn_blocking(move || match reader {
        Some(reader) => ask(&reader, &bytes),
        None => text(&bytes),
    });
    let text = read.await.map_err(|_| "the PDF is broken".to_owned())??;
    if text.trim().is_empty() {
        return Err("the PDF holds no text; pictures of text are not read".into());
    }
    Ok(text)
}

fn ask(reader: &Reader, bytes: &Bytes) -> Result<String, String> {
    let mut command = Command::new(&reader.program);
    command.args(&reader.args).env_clear().current_dir("/");
    // One thread, and no memory set aside for others.
    command.env("RAYON_NUM_THREADS", "1").env("MALLOC_ARENA_MAX", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let failed = |e: std::io::Error| format!("the reader of PDFs cannot be started: {e}");
    let mut child = command.spawn().map_err(failed)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let bytes = bytes.clone();
    let writing = std::thread::spawn(move || {
        // A child that has ended reads no more; its end says why.
        let _ = stdin.map(|mut stdin| stdin.write_all(&bytes));
    });
    let mut said = Vec::new();
    let heard = stdout.map(|stdout| stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut said));
    if said.len() as u64 == ANSWER_BYTES_MAX {
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    let _ = writing.join();
    heard.transpose().map_err(failed)?;
    let last = said.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    match serde_json::from_slice(last) {
        Ok(Answer(answer)) => answer,
        Err(_) => Err(format!("the PDF is broken, or takes more memory or time to read than it may ({})", how(status))),
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("its reader was ended by signal {signal}"),
        (_, code) => format!("its reader ended with {}", code.unwrap_or_default()),
    }
}

/// What the child does once it has bounded itself: reads a PDF from its standard input, and writes its text as a line of JSON.
///
/// # Errors
/// Nobody is there to read it.
pub fn extract() -> std::io::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let reading = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || text(&bytes))?;
    let answer = reading.join().unwrap_or_else(|_| Err("the PDF is broken".into()));
    let line = serde_json::to_string(&Answer(answer))?;
    writeln!(std::io::stdout(), "\n{line}")
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let read = catch_unwind(AssertUnwindSafe(|| pdf_extract::extract_text_from_mem(bytes)));
    read.map_err(|_| "the PDF is broken".to_owned())?.map_err(|e| {
        let why: String = e.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        format!("the PDF cannot be read: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that says something, with an object for whatever else.
    pub fn pdf(says: &str) -> Vec<u8> {
        let content = format!("BT /F1 24 Tf 72 700 Td ({says}) Tj ET");
        let objects = [
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
             /Resources << /Font << /F1 5 0 R >> >> >>"
                .to_owned(),
            format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        ];
        let mut out = b"%PDF-1.4\n".to_vec();
        let mut offsets = Vec::new();
        for (n, object) in objects.iter().enumerate() {
            offsets.push(out.len());
            out.extend(format!("{} 0 obj\n{object}\nendobj\n", n + 1).bytes());
        }
        let xref = out.len();
        out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
        offsets.iter().for_each(|at| out.extend(format!("{at:010} 00000 n \n").bytes()));
        let size = objects.len() + 1;
        out.extend(format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n").bytes());
        out
    }

    #[tokio::test]
    async fn a_pages_text_is_read() {
        let text = read(pdf("Block a lost card in the app.").into(), None).await.unwrap();
        assert_eq!(text.trim(), "Block a lost card in the app.");
    }

    #[tokio::test]
    async fn broken_and_empty_ones_are_named_errors() {
        let whole = pdf("hello");
        let cut: Vec<u8> = whole[..whole.len() / 2].to_vec();
        for (bytes, why) in [(cut, "the PDF"), (pdf(" "), "holds no text"), (b"%PDF-1.7\nrubbish".to_vec(), "the PDF")]
        {
            let said = read(bytes.into(), None).await.unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[tokio::test]
    async fn a_child_that_fails_is_the_files_fault_and_ours_goes_on() {
        let reader = |script: &str| Reader { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        let bytes = Bytes::from(pdf("hello"));
        let ask = async |script: &str| read(bytes.clone(), Some(&reader(script))).await;
        assert_eq!(ask("echo noise; echo '{\"Ok\":\"text\"}'").await, Ok("text".into()));
        assert!(ask("kill -ABRT $$").await.unwrap_err().contains("ended by signal 6"));
        assert!(ask("exit 3").await.unwrap_err().contains("ended with 3"));
        assert!(ask("exec yes").await.unwrap_err().contains("more memory or time"));
    }
}
