//! What the readers of a web-fiction service do on a day, made up. The same day and seed give the same rows on
//! every machine, so that tests and pictures can count on them: no floating point, no library's numbers.

use std::fmt::Write as _;

use jiff::civil::{Date, Weekday};

/// What every day is made from, with its date.
const SEED: u64 = 0x6d6f_6f6e_6c69_6768;

/// People who read now and then.
const READERS: u64 = 420;

/// One visit in a hundred of these hours, by the clock of Seoul: on the way to work, at noon, before sleep.
const VISITS_BY_HOUR: [u64; 24] = [5, 3, 1, 1, 1, 2, 3, 6, 7, 4, 3, 3, 6, 5, 3, 3, 3, 4, 5, 5, 6, 7, 8, 6];

/// Of so many rows one is sent late, by a phone that was offline.
const ONE_LATE_OF: usize = 16;

/// Episodes at the beginning of a story that cost nothing.
const FREE_EPISODES: u64 = 2;

const EPISODES_A_STORY: u64 = 6;

struct Story {
    ko: &'static str,
    en: &'static str,
    genre: &'static str,
    /// How much it is read, beside the others.
    weight: u64,
    /// What an episode costs, in won.
    price: u64,
}

const STORIES: [Story; 8] = [
    story("달빛 아래 편의점", "The Corner Shop under the Moon", "fantasy", 9, 300),
    story("다시 열아홉", "Nineteen Again", "romance", 8, 300),
    story("검은 강의 사공", "The Ferryman of the Black River", "mystery", 5, 400),
    story("우리 동네 용", "The Dragon Next Door", "comedy", 6, 200),
    story("왕의 마지막 요리사", "The King's Last Cook", "history", 4, 400),
    story("별을 세는 시간", "The Hour for Counting Stars", "science", 3, 300),
    story(
        "오늘도 야근하는 마법사",
        "The Wizard Works Late Again",
        "comedy",
        7,
        200,
    ),
    story("비 오는 날의 답장", "A Reply on a Rainy Day", "romance", 5, 300),
];

const TITLES: [(&str, &str); 12] = [
    ("첫 손님", "The First Guest"),
    ("새벽 세 시", "Three in the Morning"),
    ("비밀", "A Secret"),
    ("돌아온 편지", "The Letter That Came Back"),
    ("문이 열리다", "The Door Opens"),
    ("약속", "A Promise"),
    ("이름 없는 길", "A Road without a Name"),
    ("그날의 진실", "What Happened That Day"),
    ("마지막 기차", "The Last Train"),
    ("거짓말", "A Lie"),
    ("눈이 오면", "When It Snows"),
    ("다시, 봄", "Spring, Again"),
];

const COMMENTS_KO: [&str; 6] = [
    "다음 화 언제 나와요?",
    "새벽에 읽다가 울었어요",
    "작가님, 최고예요!",
    "이 장면 정말 좋다",
    "반전이 있을 줄 알았어, 역시",
    "오늘도 잘 읽었습니다",
];

const COMMENTS_EN: [&str; 6] = [
    "When does the next one come?",
    "I cried on the train",
    "Best chapter so far!",
    "Oh no, not him again",
    "I did not see that coming, really",
    "Thank you for the translation",
];

const STORES: [&str; 3] = ["play", "apple", "web"];

const fn story(ko: &'static str, en: &'static str, genre: &'static str, weight: u64, price: u64) -> Story {
    Story {
        ko,
        en,
        genre,
        weight,
        price,
    }
}

/// The files of one day.
pub(super) struct Day {
    /// What the readers' phones have sent by the evening; some are offline.
    pub(super) events_at_first: String,
    /// What they have sent three days later.
    pub(super) events: String,
    /// What was paid.
    pub(super) sales: String,
}

/// Every episode, as the seed has it.
pub(super) fn episodes() -> String {
    let mut out = String::from("episode_id,number,story_ko,story_en,genre,title_ko,title_en\n");
    for (index, story) in STORIES.iter().enumerate() {
        for number in 1..=EPISODES_A_STORY {
            let (ko, en) = TITLES[(index * 5 + number as usize * 7) % TITLES.len()];
            let Story {
                ko: story_ko,
                en: story_en,
                genre,
                ..
            } = story;
            row(
                &mut out,
                &[
                    &episode_id(index, number),
                    &number.to_string(),
                    story_ko,
                    story_en,
                    genre,
                    ko,
                    en,
                ],
            );
        }
    }
    out
}

/// What happens on a date.
pub(super) fn day(date: Date) -> Day {
    let mut dice = Dice::of(date);
    let mut heard = Heard::default();
    let visits = match date.weekday() {
        Weekday::Saturday | Weekday::Sunday => 330 + dice.below(40),
        Weekday::Friday => 280 + dice.below(40),
        Weekday::Monday | Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday => 240 + dice.below(40),
    };
    for _ in 0..visits {
        visit(&mut dice, &mut heard);
    }
    heard.written(date)
}

/// Somebody opens the app, reads some episodes of a story, and may buy them and say something.
fn visit(dice: &mut Dice, heard: &mut Heard) {
    // The smaller of two: some people come every day, and many seldom.
    let reader = dice.below(READERS).min(dice.below(READERS));
    let language = if reader % 4 == 3 { "en" } else { "ko" };
    let user = format!("u{reader:04}");
    let hour = dice.weighted(&VISITS_BY_HOUR);
    let mut second = hour as u64 * 3600 + dice.below(3600);
    let index = dice.weighted(&STORIES.each_ref().map(|story| story.weight));
    let first = 1 + dice.below(EPISODES_A_STORY);
    let last = (first + dice.below(4)).min(EPISODES_A_STORY);
    heard.event(second, "open", &user, language, "", "");
    for number in first..=last {
        let episode = episode_id(index, number);
        second += 20 + dice.below(40);
        if number > FREE_EPISODES && dice.below(100) < 35 {
            let store = STORES[dice.below(3) as usize];
            heard.sale(second, &user, &episode, STORIES[index].price, store);
        }
        heard.event(second, "read", &user, language, &episode, "");
        second += 180 + dice.below(420);
        if dice.below(100) < 5 {
            let comments = if language == "en" { COMMENTS_EN } else { COMMENTS_KO };
            let comment = comments[dice.below(6) as usize];
            heard.event(second, "comment", &user, language, &episode, comment);
        }
    }
}

fn episode_id(story: usize, number: u64) -> String {
    format!("s{}e{number:02}", story + 1)
}

/// Rows of a day, each with its second.
#[derive(Default)]
struct Heard {
    events: Vec<(u64, [String; 5])>,
    sales: Vec<(u64, [String; 4])>,
}

/// Seconds of a day; Seoul's clock is not changed in summer.
const DAY: u64 = 86_400;

impl Heard {
    fn event(&mut self, second: u64, name: &str, user: &str, language: &str, episode: &str, comment: &str) {
        // What comes after midnight is of the next day, which is made up by itself.
        if second < DAY {
            let row = [name, user, language, episode, comment].map(str::to_owned);
            self.events.push((second, row));
        }
    }

    fn sale(&mut self, second: u64, user: &str, episode: &str, won: u64, store: &str) {
        if second < DAY {
            let row = [user, episode, &won.to_string(), store].map(str::to_owned);
            self.sales.push((second, row));
        }
    }

    fn written(mut self, date: Date) -> Day {
        self.events.sort();
        self.sales.sort();
        let head = "event_id,event_at,event_name,user_id,language,episode_id,comment\n";
        let (mut events, mut at_first) = (head.to_owned(), head.to_owned());
        let stamp = date.strftime("%Y%m%d").to_string();
        for (index, (second, fields)) in self.events.iter().enumerate() {
            let mut line = String::new();
            let (id, at) = (format!("e{stamp}{index:05}"), moment(date, *second));
            let [name, user, language, episode, comment] = fields.each_ref().map(String::as_str);
            row(&mut line, &[&id, &at, name, user, language, episode, comment]);
            events.push_str(&line);
            if index % ONE_LATE_OF != ONE_LATE_OF / 2 {
                at_first.push_str(&line);
            }
        }
        let mut sales = String::from("sale_id,paid_at,user_id,episode_id,won,store\n");
        for (index, (second, fields)) in self.sales.iter().enumerate() {
            let (id, at) = (format!("p{stamp}{index:05}"), moment(date, *second));
            let [user, episode, won, store] = fields.each_ref().map(String::as_str);
            row(&mut sales, &[&id, &at, user, episode, won, store]);
        }
        Day {
            events_at_first: at_first,
            events,
            sales,
        }
    }
}

/// A time of the clock, as the app writes it: without a zone.
fn moment(date: Date, second: u64) -> String {
    let (hours, minutes) = (second / 3600, second / 60 % 60);
    format!("{date} {hours:02}:{minutes:02}:{:02}", second % 60)
}

/// A line of CSV.
fn row(out: &mut String, fields: &[&str]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if field.contains([',', '"', '\n']) {
            // Writing to a text does not fail.
            let _ = write!(out, "\"{}\"", field.replace('"', "\"\""));
        } else {
            out.push_str(field);
        }
    }
    out.push('\n');
}

/// Numbers that look drawn: a counter that is mixed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn of(date: Date) -> Self {
        let day = u64::from(date.year().unsigned_abs()) * 400 + u64::from(date.day_of_year().unsigned_abs());
        Self(SEED ^ day.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another, which is small: that the first ones come a little more often does not matter.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of several, each as often as it weighs.
    fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_same_each_time_and_unlike_the_next() {
        let date = Date::constant(2026, 3, 14);
        let (one, again, next) = (day(date), day(date), day(date.tomorrow().unwrap()));
        assert_eq!(one.events, again.events);
        assert_eq!(one.sales, again.sales);
        assert_ne!(one.events, next.events);
        let lines: Vec<&str> = one.events.lines().skip(1).collect();
        assert!((500..3000).contains(&lines.len()), "{}", lines.len());
        // What is there at first is part of what comes, in the same order.
        let mut rest = one.events.lines();
        assert!(one.events_at_first.lines().all(|line| rest.any(|other| other == line)));
        assert!(one.events_at_first.lines().count() < lines.len());
        assert!(lines.iter().all(|line| line.contains(",2026-03-14 ")));
        assert!(one.events.contains("다음 화 언제 나와요?"));
        assert!(one.events.contains("\"I did not see that coming, really\""));
    }

    #[test]
    fn the_first_rows_of_a_day_are_these_on_every_machine() {
        let made = day(Date::constant(2026, 3, 14));
        let first: Vec<&str> = made.events.lines().take(4).collect();
        insta::assert_snapshot!(first.join("\n"), @r"
        event_id,event_at,event_name,user_id,language,episode_id,comment
        e2026031400000,2026-03-14 00:00:41,open,u0001,ko,,
        e2026031400001,2026-03-14 00:01:32,read,u0001,ko,s3e04,
        e2026031400002,2026-03-14 00:03:13,open,u0322,ko,,
        ");
        assert_eq!(episodes().lines().count(), 1 + 8 * 6);
    }
}
