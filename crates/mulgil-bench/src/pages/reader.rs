//! Asks for pages as a browser does, and times what comes.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks; the connection stays open.
pub(super) struct Reader {
    stream: TcpStream,
    host: String,
}

/// One answer.
pub(super) struct Answered {
    first_byte: Duration,
    wire_bytes: usize,
    html: String,
}

/// What all answers of a page come to.
pub(super) struct Looked {
    /// Milliseconds to the first byte, the middle one.
    pub(super) p50: f64,
    /// The one that 95 of 100 do not exceed.
    pub(super) p95: f64,
    /// Bytes over the wire, with their headers: the most.
    pub(super) bytes: f64,
    /// Queries, as the page says: the most.
    pub(super) queries: f64,
}

impl Looked {
    pub(super) fn of(answers: &[Answered]) -> Result<Self> {
        let mut times: Vec<f64> = answers
            .iter()
            .map(|answer| answer.first_byte.as_secs_f64() * 1_000.0)
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        let queries = answers
            .iter()
            .map(|answer| queries(&answer.html))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            p50: at(0.50),
            p95: at(0.95),
            bytes: answers
                .iter()
                .map(|answer| answer.wire_bytes)
                .max()
                .context("no answer")? as f64,
            queries: queries.into_iter().max().context("no answer")?.into(),
        })
    }
}

/// What the page's foot says of itself.
fn queries(html: &str) -> Result<u32> {
    let foot = html
        .rfind("<footer")
        .map(|at| &html[at..])
        .context("the page has no foot")?;
    let told = foot
        .split("data-queries=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    Ok(told
        .context("the page does not say how many queries it took")?
        .parse()?)
}

impl Reader {
    pub(super) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            host: address.to_owned(),
        })
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Answered> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\n\r\n",
            self.host
        );
        let began = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut bytes = vec![0; 64 << 10];
        let mut length = self.stream.read(&mut bytes)?;
        let first_byte = began.elapsed();
        ensure!(length > 0, "the server hung up");
        let head = loop {
            if let Some(at) = bytes[..length].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            length += self.more(&mut bytes, length)?;
        };
        let headers = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        ensure!(headers.starts_with("http/1.1 200"), "{path}: {headers}");
        let body: usize = header(&headers, "content-length").context("no length")?.parse()?;
        while length < head + body {
            length += self.more(&mut bytes, length)?;
        }
        let body = &bytes[head..head + body];
        let mut html = String::new();
        if header(&headers, "content-encoding") == Some("gzip") {
            GzDecoder::new(body).read_to_string(&mut html)?;
        } else {
            html.push_str(std::str::from_utf8(body)?);
        }
        Ok(Answered {
            first_byte,
            wire_bytes: length,
            html,
        })
    }

    fn more(&mut self, bytes: &mut Vec<u8>, length: usize) -> Result<usize> {
        if bytes.len() == length {
            bytes.resize(length * 2, 0);
        }
        let read = self.stream.read(&mut bytes[length..])?;
        ensure!(read > 0, "the answer broke off");
        Ok(read)
    }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name).then(|| value.trim())
    })
}
