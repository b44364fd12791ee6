//! The text of a file, by its kind.

use super::html;
use super::pdf;
use bytes::Bytes;

/// What files can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Plain text in UTF-8.
    Text,
    /// Markdown in UTF-8.
    Markdown,
    /// HTML in UTF-8.
    Html,
    /// PDF with text in it; pictures of text are not read.
    Pdf,
}

/// How each kind is named: by the end of a file's name, and by a media type.
const NAMES: [(&str, &str, Kind); 10] = [
    ("txt", "text/plain", Kind::Text),
    ("text", "text/plain", Kind::Text),
    ("log", "text/plain", Kind::Text),
    ("csv", "text/csv", Kind::Text),
    ("md", "text/markdown", Kind::Markdown),
    ("markdown", "text/x-markdown", Kind::Markdown),
    ("html", "text/html", Kind::Html),
    ("htm", "text/html", Kind::Html),
    ("xhtml", "application/xhtml+xml", Kind::Html),
    ("pdf", "application/pdf", Kind::Pdf),
];

impl Kind {
    /// By the file's name, else by its media type.
    ///
    /// # Errors
    /// In words: which kinds there are.
    pub fn of(file: &str, media: Option<&str>) -> Result<Self, String> {
        let end = file.rsplit_once('.').map_or("", |(_, end)| end);
        let media = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
        let by_name = NAMES.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(end));
        let found = by_name.or_else(|| NAMES.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(media)));
        found.map(|(_, _, kind)| *kind).ok_or_else(|| {
            let shown: String = file.chars().take(100).collect();
            format!("{shown:?} is no file that can be read; there are: .txt, .md, .html, .pdf (text in UTF-8)")
        })
    }
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The title that it gives itself.
    pub title: Option<String>,
    /// Its text. Without NUL, lines end with LF.
    pub text: String,
}

/// Reads a file.
///
/// # Errors
/// In words: it is not of this kind, is broken, or takes too much to read.
pub async fn read(kind: Kind, bytes: Bytes, pdfs: Option<&pdf::Reader>) -> Result<Text, String> {
    match kind {
        Kind::Pdf => pdf::read(bytes, pdfs).await.map(|text| Text { title: None, text: tidy(&text) }),
        Kind::Text => decode(&bytes).map(|text| Text { title: None, text }),
        Kind::Markdown => decode(&bytes).map(|text| Text { title: heading(&text), text }),
        Kind::Html => {
            let html = decode(&bytes)?;
            let page = tokio::task::spawn_blocking(move || html::read(&html)).await.map_err(|e| e.to_string())?;
            Ok(Text { title: page.title.or_else(|| heading(&page.text)), text: page.text })
        }
    }
}

fn decode(bytes: &[u8]) -> Result<String, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"%PDF-") {
        return Err("it is a PDF by its first bytes, not by its name".into());
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("it is no text: there is a NUL at byte {at}"));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|e| format!("it is no text in UTF-8 (at byte {})", e.valid_up_to()))?;
    Ok(tidy(text))
}

/// Line ends as LF, and no other control characters.
fn tidy(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let clean = |c: char| match c {
        '\r' | '\u{c}' | '\u{b}' | '\u{85}' => '\n',
        c if c.is_control() && c != '\n' && c != '\t' => ' ',
        c => c,
    };
    text.chars().map(clean).collect()
}

/// The first heading.
fn heading(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("# "))?;
    Some(line.trim().to_owned()).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(file: &str, bytes: &'static [u8]) -> Result<(Option<String>, String), String> {
        let text = read(Kind::of(file, None)?, Bytes::from_static(bytes), None).await?;
        Ok((text.title, text.text))
    }

    #[tokio::test]
    async fn texts_are_read_by_their_kind() {
        assert_eq!(said("a.TXT", b"\xef\xbb\xbfone\r\ntwo\x07\n").await, Ok((None, "one\ntwo \n".into())));
        assert_eq!(said("a.md", b"x\n# Cards \n# B").await, Ok((Some("Cards".into()), "x\n# Cards \n# B".into())));
        assert_eq!(said("a.html", b"<h1>Cards</h1>x").await, Ok((Some("Cards".into()), "# Cards\n\nx".into())));
        assert_eq!(Kind::of("upload", Some("text/html; charset=utf-8")), Ok(Kind::Html));
    }

    #[tokio::test]
    async fn what_is_no_text_is_refused_with_its_reason() {
        for (file, bytes, why) in [
            ("a.exe", &b"MZ"[..], "is no file that can be read"),
            ("../../etc/passwd", b"root", "is no file that can be read"),
            ("a.txt", b"a\0b", "NUL at byte 1"),
            ("a.md", b"caf\xe9", "no text in UTF-8 (at byte 3)"),
            ("a.txt", b"%PDF-1.7 ", "a PDF by its first bytes"),
            ("a.pdf", b"hello", "it is no PDF"),
        ] {
            let said = said(file, bytes).await.unwrap_err();
            assert!(said.contains(why), "{file}: {said}");
        }
    }
}
