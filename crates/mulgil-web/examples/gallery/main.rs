//! Every page from made-up values, with a clock that stands still: to look at, to photograph, to test.
//!
//! `cargo run -p mulgil-web --example gallery -- DIR` writes them as files, `-- --serve 8099` serves them on this
//! machine at the addresses that they have. There `lang=` and `theme=` behind any address choose how it looks.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use mulgil_web::{
    asset,
    look::{Language, Look, Theme},
};

#[path = "pages.rs"]
mod pages;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, port] if flag == "--serve" => serve(
            port.parse()
                .map_err(|_| io::Error::other(format!("`{port}` is not a port")))?,
        ),
        [folder] if !folder.starts_with('-') => write(Path::new(folder)),
        _ => Err(io::Error::other(
            "say where to: `gallery DIR` or `gallery --serve PORT`",
        )),
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let assets = folder.join("assets");
    fs::create_dir_all(&assets)?;
    for asset in asset::all() {
        fs::write(assets.join(&asset.name), asset.bytes)?;
    }
    for language in [Language::Korean, Language::English] {
        for theme in [Theme::Light, Theme::Dark] {
            let shown = folder.join(format!("{}-{}", language.as_str(), theme.as_str()));
            fs::create_dir_all(&shown)?;
            for page in pages::all(language, theme) {
                fs::write(shown.join(format!("{}.html", page.name)), page.html)?;
            }
        }
    }
    Ok(())
}

fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}/");
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || answer(stream));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let (mut cookies, mut languages) = (String::new(), String::new());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "cookie" => value.trim().clone_into(&mut cookies),
                "accept-language" => value.trim().clone_into(&mut languages),
                _ => {}
            }
        }
    }
    let mut look = Look::of(&cookies, &languages);
    if let Some(name) = target.strip_prefix("/assets/") {
        return match asset::find(name) {
            Some(asset) => send(&mut stream, "200 OK", asset.content_type, "", asset.bytes),
            None => send(&mut stream, "404 Not Found", "text/plain", "", b"no such asset"),
        };
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut rest = Vec::new();
    let mut back = "/".to_owned();
    for field in query.split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let value = decoded(value);
        match name {
            "lang" | "theme" | "zone" => look.set(name, &value),
            "back" => back = value,
            _ => rest.push(field),
        }
    }
    if path == "/look" {
        let headers = format!(
            "location: {back}\r\nset-cookie: {}={}; Path=/; SameSite=Lax\r\n",
            mulgil_web::look::LOOK_COOKIE,
            look.cookie()
        );
        return send(&mut stream, "303 See Other", "text/plain", &headers, b"");
    }
    let wanted = if rest.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", rest.join("&"))
    };
    let pages = pages::all_of(&look);
    let found = pages
        .iter()
        .find(|page| page.address == wanted)
        .or_else(|| pages.iter().find(|page| page.address.split('?').next() == Some(path)))
        .or_else(|| pages.iter().find(|page| page.name == "trouble"));
    match found {
        Some(page) => send(
            &mut stream,
            "200 OK",
            "text/html; charset=utf-8",
            "",
            page.html.as_bytes(),
        ),
        None => send(&mut stream, "404 Not Found", "text/plain", "", b"no such page"),
    }
}

fn send(stream: &mut TcpStream, status: &str, kind: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncontent-security-policy: default-src 'self'; \
         script-src 'self'; object-src 'none'\r\n{headers}connection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(value)) = (byte, hex) {
            out.push(value);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
