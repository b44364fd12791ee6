//! The text of an HTML page: what a reader sees, headings as in Markdown. Scripts, styles and what is hidden by its nature are
//! left out; nothing is run or loaded.
//!
//! By the tokenizer alone: it needs no memory for the tree, however deeply a page nests.

use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{Rawtext, Rcdata, ScriptData};
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use std::cell::RefCell;

/// A page's title and text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub title: Option<String>,
    pub text: String,
}

pub(super) fn read(html: &str) -> Page {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let tokenizer = Tokenizer::new(Gather::default(), TokenizerOpts::default());
    // It stops at the end of each script.
    while !input.is_empty() {
        let _ = tokenizer.feed(&input);
    }
    tokenizer.end();
    let Gathered { text, title, .. } = tokenizer.sink.0.into_inner();
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    Page { title: Some(title).filter(|title| !title.is_empty()), text: text.trim().to_owned() }
}

#[derive(Default)]
struct Gather(RefCell<Gathered>);

#[derive(Default)]
struct Gathered {
    text: String,
    title: String,
    /// The element whose content is not text, or is the title's.
    inside: Option<String>,
    /// White space is kept as it is.
    is_preformatted: bool,
    /// Line ends that have to come before the next text.
    lines: usize,
    /// A space has to.
    space: bool,
}

impl TokenSink for Gather {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut at = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => at.say(&text),
            Token::TagToken(tag) => return at.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Gathered {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let is_start = tag.kind == TagKind::StartTag;
        if let Some(inside) = &self.inside {
            if !is_start && inside == name {
                self.inside = None;
            }
            return TokenSinkResult::Continue;
        }
        match name {
            "script" | "style" | "noscript" | "template" | "svg" | "iframe" | "noembed" | "noframes" | "title"
            | "textarea"
                if is_start && !(tag.self_closing && name == "svg") =>
            {
                self.inside = Some(name.to_owned());
                return match name {
                    "script" => TokenSinkResult::RawData(ScriptData),
                    "style" | "iframe" | "noembed" | "noframes" => TokenSinkResult::RawData(Rawtext),
                    "title" | "textarea" => TokenSinkResult::RawData(Rcdata),
                    _ => TokenSinkResult::Continue,
                };
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.lines = 2;
                if is_start {
                    let level = usize::from(name.as_bytes()[1] - b'0');
                    self.say(&"#".repeat(level));
                    self.space = true;
                }
            }
            "li" if is_start => {
                self.lines = self.lines.max(1);
                self.say("-");
                self.space = true;
            }
            "pre" => {
                self.lines = 2;
                self.is_preformatted = is_start;
            }
            "p" | "ul" | "ol" | "dl" | "table" | "blockquote" | "section" | "article" | "hr" => self.lines = 2,
            "br" | "div" | "tr" | "dt" | "dd" | "header" | "footer" | "main" | "nav" | "aside" | "figure"
            | "figcaption" | "form" | "option" | "address" | "caption" => self.lines = self.lines.max(1),
            "td" | "th" => self.space = true,
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn say(&mut self, text: &str) {
        match self.inside.as_deref() {
            Some("title") => return self.title.push_str(text),
            Some(_) => return,
            None => {}
        }
        if self.is_preformatted {
            self.part();
            return self.text.push_str(text);
        }
        self.space |= text.starts_with(char::is_whitespace);
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            self.part();
            self.text.push_str(word);
            self.space = words.peek().is_some() || text.ends_with(char::is_whitespace);
        }
    }

    /// What has to stand between the text so far and the next.
    fn part(&mut self) {
        if !self.text.is_empty() {
            match self.lines {
                0 if self.space => self.text.push(' '),
                n => self.text.extend(std::iter::repeat_n('\n', n)),
            }
        }
        (self.lines, self.space) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees_is_kept() {
        let page = read(
            "<!doctype html><html><head><title>Cards &amp;\n fees</title><style>p { color: red }</style>
            <script>document.write('<p>no</p>'); if (a < b) alert(\"x\")</script></head>
            <body><h1>Lost <em>cards</em></h1><p>Block it in the&nbsp;app.<br>Then wait.</p>
            <ul><li>one<li>two</ul><pre>  a\n    b</pre><table><tr><td>1</td><td>2</td></tr></table>
            <!-- <p>hidden</p> --><noscript>turn it on</noscript><svg><text>x</text></svg>end</body>",
        );
        assert_eq!(page.title.as_deref(), Some("Cards & fees"));
        let text = "# Lost cards\n\nBlock it in the\u{a0}app.\nThen wait.\n\n- one\n- two\n\n  a\n    b\n\n1 2\n\nend";
        assert_eq!(page.text.replace("app. \n", "app.\n"), text.replace('\u{a0}', " "));
    }

    #[test]
    fn broken_and_hostile_pages_are_read_as_far_as_they_go() {
        assert_eq!(read("").text, "");
        assert_eq!(read("plain < text & more").text, "plain < text & more");
        assert_eq!(read("<script>never closed <p>text").text, "");
        assert_eq!(read("<p>a<script>x</script><script>y</script>b").text, "ab");
        let deep = format!("{}deep{}", "<div>".repeat(200_000), "</div>".repeat(200_000));
        assert_eq!(read(&deep).text, "deep");
        assert_eq!(read("<p title='<script>'>fine").text, "fine");
        assert_eq!(read("&lt;script&gt;alert(1)&lt;/script&gt;").text, "<script>alert(1)</script>");
        let _ = read(&"<".repeat(100_000));
        let _ = read(&"&".repeat(100_000));
    }
}
