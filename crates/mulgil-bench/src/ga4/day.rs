//! One day of a shop's web events, in the shape in which Google Analytics 4 exports them: an object per
//! line, with parameters and items as arrays, whole numbers as text, and what is NULL left out. A seed
//! gives the same bytes on every machine.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use anyhow::{Context as _, Result};

use crate::synthetic::Random;

/// The day, as the export writes it.
pub(crate) const DAY: &str = "20261120";
/// Its first microsecond, in UTC.
const DAY_BEGINS: u64 = 1_795_132_800_000_000;
/// Bytes that are made by one thread in one go, from a seed of their own.
const PART_BYTES: usize = 32 << 20;
/// Visitors that the day may have.
const VISITORS: u64 = 400_000;
const PRODUCTS: u64 = 500;

/// Name, medium and campaign of where visitors come from; the first ones come most often.
const SOURCES: [(&str, &str, &str); 12] = [
    ("google", "organic", "(organic)"),
    ("(direct)", "(none)", "(direct)"),
    ("google", "cpc", "autumn_sale"),
    ("naver", "organic", "(organic)"),
    ("instagram", "social", "lookbook"),
    ("newsletter", "email", "weekly_47"),
    ("youtube", "video", "unboxing"),
    ("facebook", "paid_social", "retargeting"),
    ("kakao", "message", "coupon"),
    ("bing", "organic", "(organic)"),
    ("partner.example.org", "referral", "(referral)"),
    ("affiliate-seven", "affiliate", "spring"),
];

const PLACES: [(&str, &str, &str, &str, &str); 8] = [
    ("Asia", "Eastern Asia", "South Korea", "Seoul", "Gangnam-gu"),
    ("Asia", "Eastern Asia", "South Korea", "Busan", "Haeundae-gu"),
    ("Asia", "Eastern Asia", "Japan", "Tokyo", "Shibuya"),
    (
        "Americas",
        "Northern America",
        "United States",
        "California",
        "San Jose",
    ),
    ("Americas", "Northern America", "United States", "New York", "New York"),
    ("Europe", "Western Europe", "Germany", "Berlin", "Berlin"),
    ("Europe", "Northern Europe", "United Kingdom", "England", "London"),
    (
        "Asia",
        "South-eastern Asia",
        "Vietnam",
        "Ho Chi Minh City",
        "Thành phố Thủ Đức",
    ),
];

const DEVICES: [(&str, &str, &str, &str, &str, &str); 5] = [
    ("mobile", "Samsung", "SM-S921N", "Android", "Android 15", "Chrome"),
    ("mobile", "Apple", "iPhone", "iOS", "iOS 18.1", "Safari"),
    (
        "desktop",
        "Apple",
        "(not set)",
        "Macintosh",
        "Macintosh 10.15",
        "Safari",
    ),
    ("desktop", "Microsoft", "(not set)", "Windows", "Windows 11", "Edge"),
    ("tablet", "Apple", "iPad", "iPadOS", "iPadOS 18.1", "Safari"),
];

const CATEGORIES: [&str; 6] = ["Apparel", "Bags", "Drinkware", "Stationery", "가전", "Accessories"];

/// Writes the day until the file has at least so many bytes.
pub(crate) fn write(path: &Path, bytes: u64, seed: u64) -> Result<()> {
    let parts = bytes.div_ceil(PART_BYTES as u64);
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
    thread::scope(|scope| {
        let workers: Vec<Receiver<Vec<u8>>> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || {
                    for part in (first..parts).step_by(threads as usize) {
                        if sender.send(part_of(seed, part)).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        // Each worker makes every so-manieth part, so the parts come in order.
        for part in 0..parts {
            let text = workers[(part % threads) as usize].recv()?;
            file.write_all(&text)?;
        }
        Ok(file.flush()?)
    })
}

fn part_of(seed: u64, part: u64) -> Vec<u8> {
    let mut writer = Writer {
        out: Vec::with_capacity(PART_BYTES + (1 << 20)),
        random: Random::new(seed.wrapping_mul(1_000_003).wrapping_add(part)),
    };
    while writer.out.len() < PART_BYTES {
        writer.session().expect("writing into memory does not fail");
    }
    writer.out
}

struct Writer {
    out: Vec<u8>,
    random: Random,
}

/// What all events of a visit share.
struct Session {
    visitor: u64,
    id: u64,
    number: u64,
    source: (&'static str, &'static str, &'static str),
    place: (&'static str, &'static str, &'static str, &'static str, &'static str),
    device: (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    ),
    /// Microseconds since 1970 at which the next event happens.
    clock: u64,
    events: u64,
}

/// One thing that happened.
struct Event {
    name: &'static str,
    page: u64,
    engaged_ms: Option<u64>,
    items: Vec<Item>,
}

struct Item {
    product: u64,
    quantity: u64,
}

impl Item {
    /// In cents: a product has one price.
    fn price(&self) -> u64 {
        990 + self.product * 7919 % 24_000
    }

    fn revenue(&self) -> u64 {
        self.price() * self.quantity
    }
}

impl Writer {
    /// A visit: pages, products looked at, sometimes a purchase.
    fn session(&mut self) -> std::io::Result<()> {
        let mut session = self.visitor();
        let first = if session.number == 1 {
            "first_visit"
        } else {
            "session_start"
        };
        self.event(&mut session, &Event::of(first, 0))?;
        let mut basket = Vec::new();
        for _ in 0..=self.random.below(9) {
            let page = self.random.below(PRODUCTS * 2);
            self.event(&mut session, &Event::of("page_view", page))?;
            if self.random.below(3) == 0 {
                self.event(&mut session, &Event::of("scroll", page))?;
            }
            // Every other page is the one of a product.
            if page < PRODUCTS {
                self.product(&mut session, page, &mut basket)?;
            }
            let mut engaged = Event::of("user_engagement", page);
            engaged.engaged_ms = Some(500 + self.random.below(60_000));
            self.event(&mut session, &engaged)?;
        }
        if !basket.is_empty() && self.random.below(4) == 0 {
            let mut bought = Event::of("begin_checkout", PRODUCTS * 2);
            bought.items = basket;
            self.event(&mut session, &bought)?;
            bought.name = "purchase";
            bought.page += 1;
            self.event(&mut session, &bought)?;
        }
        Ok(())
    }

    fn product(&mut self, session: &mut Session, product: u64, basket: &mut Vec<Item>) -> std::io::Result<()> {
        let mut event = Event::of("view_item", product);
        event.items = vec![Item { product, quantity: 1 }];
        self.event(session, &event)?;
        if self.random.below(4) == 0 {
            event.name = "add_to_cart";
            event.items[0].quantity = 1 + self.random.below(3);
            self.event(session, &event)?;
            basket.append(&mut event.items);
        }
        Ok(())
    }

    fn visitor(&mut self) -> Session {
        let random = &mut self.random;
        // The lower of two throws: the first sources come more often.
        let source = SOURCES[random.below(12).min(random.below(12)) as usize];
        let clock = DAY_BEGINS + random.below(23 * 3_600_000_000);
        Session {
            visitor: random.below(VISITORS),
            id: clock / 1_000_000,
            number: 1 + random.below(5),
            source,
            place: PLACES[random.below(8) as usize],
            device: DEVICES[random.below(5) as usize],
            clock,
            events: 0,
        }
    }

    fn event(&mut self, session: &mut Session, event: &Event) -> std::io::Result<()> {
        session.clock += 1 + self.random.below(40_000_000);
        session.events += 1;
        self.head(session, event)?;
        self.parameters(session, event)?;
        self.visitor_facts(session)?;
        self.surroundings(session)?;
        self.ecommerce(session, event)?;
        self.items(event)?;
        writeln!(
            self.out,
            ",\"stream_id\":\"2480612345\",\"platform\":\"WEB\",\"is_active_user\":{}}}",
            event.engaged_ms.is_some()
        )
    }

    fn head(&mut self, session: &Session, event: &Event) -> std::io::Result<()> {
        write!(
            self.out,
            "{{\"event_date\":\"{DAY}\",\"event_timestamp\":\"{}\",\"event_name\":\"{}\",",
            session.clock, event.name
        )
    }

    fn parameters(&mut self, session: &Session, event: &Event) -> std::io::Result<()> {
        let (source, medium, campaign) = session.source;
        let out = &mut self.out;
        out.extend_from_slice(b"\"event_params\":[");
        int(out, "ga_session_id", session.id)?;
        int(out, "ga_session_number", session.number)?;
        text(
            out,
            "page_location",
            format_args!("https://shop.example.com{}", event.path()),
        )?;
        text(out, "page_title", format_args!("{} | Example Shop", event.title()))?;
        text(
            out,
            "page_referrer",
            format_args!("https://shop.example.com/?from={source}"),
        )?;
        text(out, "source", format_args!("{source}"))?;
        text(out, "medium", format_args!("{medium}"))?;
        text(out, "campaign", format_args!("{campaign}"))?;
        text(out, "session_engaged", format_args!("1"))?;
        if let Some(engaged) = event.engaged_ms {
            int(out, "engagement_time_msec", engaged)?;
        }
        if event.name == "scroll" {
            int(out, "percent_scrolled", 90)?;
        }
        if !event.items.is_empty() {
            text(out, "currency", format_args!("USD"))?;
            double(out, "value", event.revenue())?;
        }
        if event.name == "purchase" {
            text(out, "transaction_id", format_args!("T{}", session.clock))?;
        }
        int(out, "batch_ordering_id", session.events)?;
        int(out, "batch_page_id", session.clock / 1_000)?;
        // The last parameter's comma is taken back.
        out.pop();
        out.extend_from_slice(b"],");
        Ok(())
    }

    fn visitor_facts(&mut self, session: &Session) -> std::io::Result<()> {
        let visitor = session.visitor;
        let first_touch = DAY_BEGINS - visitor % 90 * 86_400_000_000;
        write!(
            self.out,
            "\"event_bundle_sequence_id\":\"{}\",\"user_pseudo_id\":\"{}.{first}\",\
             \"privacy_info\":{{\"analytics_storage\":\"Yes\",\"ads_storage\":\"Yes\",\"uses_transient_token\":\"No\"}},\
             \"user_properties\":[{{\"key\":\"membership\",\"value\":{{\"string_value\":\"{}\",\
             \"set_timestamp_micros\":\"{first_touch}\"}}}},{{\"key\":\"orders_so_far\",\"value\":{{\"int_value\":\"{}\",\
             \"set_timestamp_micros\":\"{first_touch}\"}}}}],\"user_first_touch_timestamp\":\"{first_touch}\",\
             \"user_ltv\":{{\"revenue\":{}.5,\"currency\":\"USD\"}}",
            session.clock % 1_000_000_007,
            1_000_000_000 + visitor * 37,
            ["guest", "silver", "gold"][(visitor % 3) as usize],
            visitor % 23,
            visitor % 977,
            first = first_touch / 1_000_000,
        )
    }

    fn surroundings(&mut self, session: &Session) -> std::io::Result<()> {
        let (continent, part, country, region, city) = session.place;
        let (category, brand, model, system, version, browser) = session.device;
        let (source, medium, campaign) = session.source;
        write!(
            self.out,
            ",\"device\":{{\"category\":\"{category}\",\"mobile_brand_name\":\"{brand}\",\"mobile_model_name\":\"{model}\",\
             \"operating_system\":\"{system}\",\"operating_system_version\":\"{version}\",\"language\":\"ko-kr\",\
             \"is_limited_ad_tracking\":\"No\",\"time_zone_offset_seconds\":\"32400\",\
             \"web_info\":{{\"browser\":\"{browser}\",\"browser_version\":\"131.0\",\"hostname\":\"shop.example.com\"}}}},\
             \"geo\":{{\"continent\":\"{continent}\",\"sub_continent\":\"{part}\",\"country\":\"{country}\",\
             \"region\":\"{region}\",\"city\":\"{city}\",\"metro\":\"(not set)\"}},\
             \"traffic_source\":{{\"name\":\"{campaign}\",\"medium\":\"{medium}\",\"source\":\"{source}\"}}"
        )
    }

    fn ecommerce(&mut self, session: &Session, event: &Event) -> std::io::Result<()> {
        if event.name != "purchase" {
            return Ok(());
        }
        let (quantity, revenue) = (event.quantity(), event.revenue());
        write!(
            self.out,
            ",\"ecommerce\":{{\"total_item_quantity\":\"{quantity}\",\"purchase_revenue_in_usd\":{whole}.{cents:02},\
             \"purchase_revenue\":{whole}.{cents:02},\"unique_items\":\"{}\",\"transaction_id\":\"T{}\"}}",
            event.items.len(),
            session.clock,
            whole = revenue / 100,
            cents = revenue % 100,
        )
    }

    fn items(&mut self, event: &Event) -> std::io::Result<()> {
        self.out.extend_from_slice(b",\"items\":[");
        for (index, item) in event.items.iter().enumerate() {
            let (price, revenue) = (item.price(), item.revenue());
            write!(
                self.out,
                "{}{{\"item_id\":\"SKU{:05}\",\"item_name\":\"Product {}\",\"item_brand\":\"Example\",\
                 \"item_variant\":\"(not set)\",\"item_category\":\"{}\",\"price_in_usd\":{}.{:02},\"price\":{}.{:02},\
                 \"quantity\":\"{}\"",
                if index == 0 { "" } else { "," },
                item.product,
                item.product,
                CATEGORIES[(item.product % 6) as usize],
                price / 100,
                price % 100,
                price / 100,
                price % 100,
                item.quantity,
            )?;
            if event.name == "purchase" {
                write!(
                    self.out,
                    ",\"item_revenue_in_usd\":{0}.{1:02},\"item_revenue\":{0}.{1:02}",
                    revenue / 100,
                    revenue % 100
                )?;
            }
            write!(self.out, ",\"coupon\":\"(not set)\",\"item_list_index\":\"{index}\"}}")?;
        }
        self.out.push(b']');
        Ok(())
    }
}

impl Event {
    fn of(name: &'static str, page: u64) -> Self {
        Self {
            name,
            page,
            engaged_ms: None,
            items: Vec::new(),
        }
    }

    fn revenue(&self) -> u64 {
        self.items.iter().map(Item::revenue).sum()
    }

    fn quantity(&self) -> u64 {
        self.items.iter().map(|item| item.quantity).sum()
    }

    fn path(&self) -> String {
        match self.page {
            product if product < PRODUCTS => {
                format!(
                    "/{}/product-{product}",
                    CATEGORIES[(product % 6) as usize].to_lowercase()
                )
            }
            page if page < PRODUCTS * 2 => format!("/stories/{}", page % 40),
            page if page == PRODUCTS * 2 => "/checkout".to_owned(),
            _ => "/thank-you".to_owned(),
        }
    }

    fn title(&self) -> String {
        match self.page {
            product if product < PRODUCTS => format!("Product {product}"),
            page if page < PRODUCTS * 2 => format!("Story {}", page % 40),
            _ => "Checkout".to_owned(),
        }
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    write!(out, "{{\"key\":\"{key}\",\"value\":{{\"string_value\":\"{value}\"}}}},")
}

fn int(out: &mut Vec<u8>, key: &str, value: u64) -> std::io::Result<()> {
    write!(out, "{{\"key\":\"{key}\",\"value\":{{\"int_value\":\"{value}\"}}}},")
}

fn double(out: &mut Vec<u8>, key: &str, cents: u64) -> std::io::Result<()> {
    write!(
        out,
        "{{\"key\":\"{key}\",\"value\":{{\"double_value\":{}.{:02}}}}},",
        cents / 100,
        cents % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_and_whole_objects() {
        let first = part_of(7, 3);
        assert_eq!(first, part_of(7, 3));
        assert_ne!(first, part_of(7, 4));
        let lines = first
            .split(|byte| *byte == b'\n')
            .take(200)
            .map(serde_json::from_slice::<serde_json::Value>);
        for line in lines {
            let line = line.expect("a JSON object");
            let keys: Vec<&str> = line["event_params"]
                .as_array()
                .expect("an array")
                .iter()
                .filter_map(|parameter| parameter["key"].as_str())
                .collect();
            assert_eq!(keys.iter().filter(|key| **key == "ga_session_id").count(), 1);
        }
    }
}
